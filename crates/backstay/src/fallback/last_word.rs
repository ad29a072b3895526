//! What the caller is told when nothing more is tried.

use super::{FallbackBody, frames::Frames};
use crate::{call::Held, error::BoxError};
use http::{Response, response::Parts};

pub(super) type Output<R> = Result<Response<FallbackBody<R>>, BoxError>;

/// How an attempt ended, as the caller would see it.
pub(super) enum LastWord<R> {
    Answer(Parts, Frames, Option<R>),
    Error(BoxError),
}

// === impl LastWord ===

impl<R> LastWord<R> {
    pub(super) fn error(error: impl Into<BoxError>) -> Box<Self> {
        Box::new(Self::Error(error.into()))
    }

    pub(super) fn speak(self, held: Option<Held>) -> Output<R> {
        match self {
            Self::Answer(mut parts, read, rest) => {
                if let Some(held) = &held {
                    held.leave_trail(&mut parts.extensions);
                }
                Ok(Response::from_parts(
                    parts,
                    FallbackBody::answer(read, rest),
                ))
            }
            Self::Error(error) => Err(error),
        }
    }
}
