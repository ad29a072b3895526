//! Signing what is sent.

use crate::{body::Segments, error::BoxError};
use http::{HeaderMap, Method, Uri};
use std::fmt;

/// Signs each attempt at a target, after everything else about it has been settled: the URI, the headers, the
/// model and the patch in the body. For SigV4, and for tokens that live for minutes.
///
/// A target that signs has credentials of its own: none of the caller's go with the request.
///
/// It is called when the attempt is made, does not block, and does not wait. A token that is fetched is
/// fetched elsewhere, by a task that renews it before its time, and read here; or a layer between the
/// fallback and the client puts it on, asynchronously, each time it is called.
///
/// ```
/// use backstay::{BoxError, fallback::{Outgoing, Sign, Target}};
/// use http::{HeaderMap, HeaderValue, header};
/// use std::sync::{Arc, RwLock};
///
/// /// A token that a task of ours renews.
/// #[derive(Debug)]
/// struct Token(Arc<RwLock<Option<HeaderValue>>>);
///
/// impl Sign for Token {
///     fn sign(&self, _: &Outgoing<'_>) -> Result<HeaderMap, BoxError> {
///         let token = self.0.read().map_err(|_| "the task that renews it panicked")?;
///         let token = token.clone().ok_or("no token has been fetched yet")?;
///         Ok(HeaderMap::from_iter([(header::AUTHORIZATION, token)]))
///     }
/// }
///
/// let token = Arc::default();
/// let target = Target::model("claude-sonnet-4@20250514")
///     .origin("https://europe-west1-aiplatform.googleapis.com")
///     .sign(Token(token));
/// # drop(target);
/// ```
pub trait Sign: fmt::Debug + Send + Sync + 'static {
    /// The headers to add, in place of others of their names. They are never printed.
    ///
    /// # Errors
    ///
    /// Whatever went wrong: the target is passed over, and if no other is left the call ends with
    /// [`RequestProblem::Unsigned`](crate::error::RequestProblem::Unsigned), with this as its source.
    fn sign(&self, request: &Outgoing<'_>) -> Result<HeaderMap, BoxError>;
}

/// A request as it will be sent, but for its signature.
#[non_exhaustive]
pub struct Outgoing<'a> {
    /// The method.
    pub method: &'a Method,
    /// The URI.
    pub uri: &'a Uri,
    /// The headers that are known by now. The client adds `host`, from the URI, and those of the transfer.
    pub headers: &'a HeaderMap,
    /// The body. `None` when it is over the replay limit and is streamed.
    pub body: Option<&'a Segments>,
}

/// Prints no header and nothing of the body.
impl fmt::Debug for Outgoing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outgoing")
            .field("method", &self.method)
            .field("body", &self.body)
            .finish_non_exhaustive()
    }
}
