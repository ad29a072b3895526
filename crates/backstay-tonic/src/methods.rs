//! What the user says of the methods that are called.

use std::{collections::HashMap, error::Error as StdError, fmt, sync::Arc};

/// What is known of the methods that are called. Nothing has to be said of a method; what is said makes more
/// of its failures visible in time:
///
/// | said of a method | what follows |
/// |---|---|
/// | nothing | its reply is passed on as it comes. A failure in the head is retried, one in the trailers is the caller's |
/// | [`unary`](Self::unary) | its reply is one message: held to its trailers, within a bound, so that a failure there is retried |
/// | [`until_first_message`](Self::until_first_message) | the head of its reply is held to the first message, so that a failure before it is retried. No message is ever held |
/// | [`idempotent`](Self::idempotent) | what may have been done is done again: after `DEADLINE_EXCEEDED`, `INTERNAL`, a lost connection |
///
/// The clocks of a method of which nothing is said are those of unary calls; name a stream that may be silent
/// for long with [`passed_on`](Self::passed_on) or `until_first_message`, and the clocks of streams are its own.
///
/// A name is `package.Service/Method`, or `package.Service` for all methods of a service; what is said of a
/// method goes before what is said of its service.
///
/// ```
/// use backstay_tonic::Methods;
///
/// let methods = Methods::new()
///     .unary("vectors.v1.Store")
///     .until_first_message("vectors.v1.Store/Scan")
///     .idempotent("vectors.v1.Store/Search");
/// ```
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct Methods {
    said: HashMap<Box<str>, Said>,
    /// The first name that is none.
    bad: Option<Box<str>>,
}

/// A method whose name can name none.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MethodsError {
    /// A name is neither `package.Service/Method` nor `package.Service`.
    Name {
        /// The name.
        name: String,
    },
    /// The bytes are no `FileDescriptorSet`.
    DescriptorSet,
}

/// How a reply is read before it is passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    /// Not at all.
    Passed,
    /// To its trailers.
    Unary,
    /// To its first message.
    FirstMessage,
}

/// What is said of the method of a call, in its request's extensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    /// `None` where nothing is said.
    pub(crate) reply: Option<Reply>,
    pub(crate) idempotent: bool,
}

/// Methods that were checked.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known(Arc<HashMap<Box<str>, Said>>);

#[derive(Clone, Copy, Debug, Default)]
struct Said {
    reply: Option<Reply>,
    idempotent: Option<bool>,
}

// === impl Methods ===

impl Methods {
    /// Nothing is said of any method.
    pub fn new() -> Self {
        Self::default()
    }

    /// The reply is a single message. A method that sends a stream and gets one message is one too.
    pub fn unary(self, name: impl AsRef<str>) -> Self {
        self.say(name.as_ref(), |said| said.reply = Some(Reply::Unary))
    }

    /// The reply is a stream whose head can wait for the first message: nobody waits for the head before it
    /// sends on.
    pub fn until_first_message(self, name: impl AsRef<str>) -> Self {
        self.say(name.as_ref(), |said| said.reply = Some(Reply::FirstMessage))
    }

    /// The reply is passed on as it comes: for a method of a service of which something else is said.
    pub fn passed_on(self, name: impl AsRef<str>) -> Self {
        self.say(name.as_ref(), |said| said.reply = Some(Reply::Passed))
    }

    /// Calling it twice does no harm.
    pub fn idempotent(self, name: impl AsRef<str>) -> Self {
        self.say(name.as_ref(), |said| said.idempotent = Some(true))
    }

    /// Reads an encoded `FileDescriptorSet`, as `tonic-prost-build` and `protoc` write it: which replies are
    /// a single message, and which methods are idempotent (`option idempotency_level`). A reply that is a
    /// stream is passed on as it comes.
    ///
    /// # Errors
    ///
    /// [`MethodsError::DescriptorSet`] for other bytes.
    #[cfg(feature = "descriptors")]
    pub fn descriptor_set(mut self, encoded: &[u8]) -> Result<Self, MethodsError> {
        use prost::Message;
        use prost_types::{FileDescriptorSet, method_options::IdempotencyLevel};

        let set = FileDescriptorSet::decode(encoded).map_err(|_| MethodsError::DescriptorSet)?;
        for file in &set.file {
            for service in &file.service {
                for method in &service.method {
                    let service = service.name();
                    let name = match file.package() {
                        "" => format!("{service}/{}", method.name()),
                        package => format!("{package}.{service}/{}", method.name()),
                    };
                    self = if method.server_streaming() {
                        self.passed_on(&name)
                    } else {
                        self.unary(&name)
                    };
                    let level = method.options.as_ref().map(|said| said.idempotency_level());
                    if matches!(
                        level,
                        Some(IdempotencyLevel::NoSideEffects | IdempotencyLevel::Idempotent)
                    ) {
                        self = self.idempotent(&name);
                    }
                }
            }
        }
        Ok(self)
    }

    pub(crate) fn check(self) -> Result<Known, MethodsError> {
        match self.bad {
            Some(name) => Err(MethodsError::Name { name: name.into() }),
            None => Ok(Known(Arc::new(self.said))),
        }
    }

    fn say(mut self, name: &str, what: impl FnOnce(&mut Said)) -> Self {
        let plain = name.strip_prefix('/').unwrap_or(name);
        if is_name(plain) {
            what(self.said.entry(plain.into()).or_default());
        } else {
            self.bad.get_or_insert_with(|| name.into());
        }
        self
    }
}

fn is_name(name: &str) -> bool {
    let mut parts = name.split('/');
    let is_part = |part: &str| {
        !part.is_empty()
            && part
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-'))
    };
    parts.next().is_some_and(is_part) && parts.next().is_none_or(is_part) && parts.next().is_none()
}

// === impl Known ===

impl Known {
    /// What is said of the method that a path names. A prefix before the service, an origin's path, is not
    /// looked at.
    pub(crate) fn shape(&self, path: &str) -> Shape {
        let (service, method) = match path.rsplit_once('/') {
            Some((before, _)) => {
                let at = before.rfind('/').map_or(0, |at| at + 1);
                (&before[at..], &path[at..])
            }
            None => (path, path),
        };
        let said = |name: &str| self.0.get(name).copied().unwrap_or_default();
        let (method, service) = (said(method), said(service));
        Shape {
            reply: method.reply.or(service.reply),
            idempotent: method.idempotent.or(service.idempotent).unwrap_or(false),
        }
    }
}

// === impl MethodsError ===

impl fmt::Display for MethodsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name { name } => write!(
                f,
                "{name:?} names no method: write `package.Service/Method`, or `package.Service` for all \
                 methods of a service"
            ),
            Self::DescriptorSet => f.write_str(
                "the bytes are no `FileDescriptorSet`: give the file that `file_descriptor_set_path` or \
                 `protoc --descriptor_set_out` wrote",
            ),
        }
    }
}

impl StdError for MethodsError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_method_goes_before_its_service() {
        let known = Methods::new()
            .unary("a.B")
            .passed_on("/a.B/Watch")
            .idempotent("a.B/Get")
            .check()
            .unwrap();
        assert_eq!(known.shape("/a.B/Get").reply, Some(Reply::Unary));
        assert!(known.shape("/a.B/Get").idempotent);
        assert_eq!(known.shape("/a.B/Watch").reply, Some(Reply::Passed));
        assert!(!known.shape("/a.B/Watch").idempotent);
        assert_eq!(known.shape("/prefix/a.B/Get").reply, Some(Reply::Unary));
        for other in ["/a.C/Get", "/a.B", "", "/", "a.B/Get/more"] {
            assert!(!known.shape(other).idempotent, "{other}");
        }
        assert_eq!(known.shape("/a.C/Get").reply, None);
    }

    #[test]
    fn a_name_that_can_name_nothing_is_an_error() {
        for bad in ["", "/", "a.B/", "/a.B/C/D", "a B/C", "a.B/*"] {
            let error = Methods::new().unary("a.B").idempotent(bad).check();
            let name = bad.to_owned();
            assert_eq!(error.unwrap_err(), MethodsError::Name { name }, "{bad}");
        }
    }

    #[cfg(feature = "descriptors")]
    #[test]
    fn a_descriptor_set_tells_which_replies_are_one_message() {
        let set = tonic_health::pb::FILE_DESCRIPTOR_SET;
        let known = Methods::new().descriptor_set(set).unwrap().check().unwrap();
        let reply = |method| known.shape(method).reply;
        assert_eq!(reply("/grpc.health.v1.Health/Check"), Some(Reply::Unary));
        assert_eq!(reply("/grpc.health.v1.Health/Watch"), Some(Reply::Passed));
        assert_eq!(
            Methods::new().descriptor_set(b"\xff\xff").unwrap_err(),
            MethodsError::DescriptorSet
        );
    }
}
