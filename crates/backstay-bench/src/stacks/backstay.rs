//! `on_cancel > deadline > fallback > timeouts` of backstay.

use super::{BACKSTAY, CALL, CONNECT, FIRST_TOKEN, HEADERS, IDLE, RETRIES};
use crate::{case::Prompt, subject::Subject, upstream::Upstream};
use backstay::{Body, ServiceBuilderExt, Timeouts, cancel::Ended, drain::Drain, fallback::Targets};
use std::{
    future::{Ready, ready},
    hint::black_box,
    rc::Rc,
};
use tokio::runtime::Runtime;
use tower::{BoxError, ServiceBuilder};

pub(super) fn subject(
    runtime: &Rc<Runtime>,
    prompt: &Prompt,
    upstream: Upstream,
) -> Result<Subject, BoxError> {
    let service = ServiceBuilder::new()
        .on_cancel(hook)
        .deadline(CALL)?
        .fallback(targets())?
        .timeouts(timeouts())?
        .service(upstream);
    Ok(Subject::new::<_, Body, _>(
        BACKSTAY, runtime, prompt, service,
    ))
}

pub(super) fn layer_by_layer(
    runtime: &Rc<Runtime>,
    prompt: &Prompt,
    upstream: &Upstream,
) -> Result<Vec<Subject>, BoxError> {
    let timeouts_only = ServiceBuilder::new()
        .timeouts(timeouts())?
        .service(upstream.clone());
    let fallback = ServiceBuilder::new()
        .fallback(targets())?
        .timeouts(timeouts())?
        .service(upstream.clone());
    let deadline = ServiceBuilder::new()
        .deadline(CALL)?
        .fallback(targets())?
        .timeouts(timeouts())?
        .service(upstream.clone());
    let on_cancel = ServiceBuilder::new()
        .on_cancel(hook)
        .deadline(CALL)?
        .fallback(targets())?
        .timeouts(timeouts())?
        .service(upstream.clone());
    let drain = ServiceBuilder::new()
        .drain(&Drain::new())
        .on_cancel(hook)
        .deadline(CALL)?
        .fallback(targets())?
        .timeouts(timeouts())?
        .service(upstream.clone());
    Ok(vec![
        Subject::new::<_, Body, _>("timeouts", runtime, prompt, timeouts_only),
        Subject::new::<_, Body, _>("fallback", runtime, prompt, fallback),
        Subject::new::<_, Body, _>("deadline", runtime, prompt, deadline),
        Subject::new::<_, Body, _>("on_cancel", runtime, prompt, on_cancel),
        Subject::new::<_, Body, _>("drain", runtime, prompt, drain),
    ])
}

fn targets() -> Targets {
    Targets::new("gpt-4o").then("gpt-4o-mini").retries(RETRIES)
}

fn timeouts() -> Timeouts {
    Timeouts::new()
        .connect(CONNECT)
        .headers(HEADERS)
        .first_token(FIRST_TOKEN)
        .idle(IDLE)
}

fn hook(ended: Ended) -> Ready<()> {
    black_box(ended.why);
    ready(())
}
