//! The upstream without any layer.

use crate::{case::Prompt, subject::Subject, upstream::Upstream};
use bytes::Bytes;
use http_body_util::Full;
use std::rc::Rc;
use tokio::runtime::Runtime;

pub(super) fn subject(runtime: &Rc<Runtime>, prompt: &Prompt, upstream: Upstream) -> Subject {
    Subject::new::<_, Full<Bytes>, _>(super::BARE, runtime, prompt, upstream)
}
