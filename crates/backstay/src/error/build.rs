//! What is wrong with a configuration, said when the stack is built.

use backstay_dialect::PatchError;
use std::{error::Error as StdError, fmt};

/// A setting that can never work. Nothing was built.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BuildError {
    /// A duration is zero. `Duration::MAX` means "never".
    ZeroDuration {
        /// The name of the setting.
        setting: &'static str,
    },
    /// A number is zero where one is needed.
    Zero {
        /// The name of the setting.
        setting: &'static str,
    },
    /// A lower bound is above the upper one.
    Bounds {
        /// The name of the lower bound, or the bound itself if it is none of the settings.
        least: &'static str,
        /// The name of the upper bound.
        most: &'static str,
    },
    /// What should name an authority does not: it is a host, with a port if it has one.
    Authority {
        /// What was given.
        authority: String,
    },
    /// A fallback without any target.
    NoTargets,
    /// More targets than a call can have.
    TooManyTargets {
        /// As many as it can have.
        most: usize,
    },
    /// Two targets with the same name.
    DuplicateTarget {
        /// The name.
        target: String,
    },
    /// A target's origin, path or query cannot be part of a URI that is called.
    Uri {
        /// The name of the target.
        target: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A header of a target that HTTP does not allow, or that the client writes. The value is not shown.
    Header {
        /// The name of the target.
        target: String,
        /// The name of the header.
        header: String,
    },
    /// A header that may not go to another authority: it carries a credential, or HTTP does not allow its
    /// name.
    PortableHeader {
        /// The name of the header.
        header: String,
    },
    /// The model of a target cannot stand in its path: it is empty, or has a part that is `.` or `..`.
    ModelInPath {
        /// The name of the target.
        target: String,
    },
    /// The patch of a target is none.
    Patch {
        /// The name of the target.
        target: String,
        /// What is wrong with it.
        error: PatchError,
    },
    /// Two targets of one call speak dialects of different families.
    Dialects {
        /// The first dialect, and the target that speaks it.
        first: (String, String),
        /// The second dialect, and the target that speaks it.
        second: (String, String),
    },
    /// A target names a model, and its dialect has no place for one.
    ModelNotCarried {
        /// The name of the target.
        target: String,
        /// The dialect.
        dialect: String,
    },
}

// === impl BuildError ===

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ZeroDuration { setting } => write!(
                f,
                "{setting} is zero: use a longer duration, or `Duration::MAX` for never"
            ),
            Self::Zero { setting } => write!(f, "{setting} is zero: use at least 1"),
            Self::Bounds { least, most } => {
                write!(
                    f,
                    "{least} is more than {most}: lower the one or raise the other"
                )
            }
            Self::Authority { authority } => write!(
                f,
                "{authority:?} is no authority: give a host, and its port unless that is the scheme's own, as \
                 in `models.internal:8080`"
            ),
            Self::NoTargets => f.write_str("a fallback needs at least one target"),
            Self::TooManyTargets { most } => write!(
                f,
                "a call has more than {most} targets: name fewer of them, or balance behind one of them"
            ),
            Self::ModelInPath { target } => write!(
                f,
                "target {target}: the name of its model is empty, or has a part that is `.` or `..`, and would \
                 change the path: name another model"
            ),
            Self::Patch { target, error } => write!(f, "target {target}: {error}"),
            Self::DuplicateTarget { target } => write!(
                f,
                "two targets are named {target}: give one of them another name with `Target::named`"
            ),
            Self::Uri { target, problem } => write!(f, "target {target}: {problem}"),
            Self::Header { target, header } => write!(
                f,
                "target {target}: the header {header} has a name or value that HTTP does not allow, or \
                 is one that the client writes"
            ),
            Self::PortableHeader { header } => write!(
                f,
                "the header {header} cannot be portable: HTTP does not allow it, or it carries a \
                 credential; give the target its own with `Target::credential`"
            ),
            Self::Dialects { first, second } => write!(
                f,
                "target {} speaks {} and target {} speaks {}: targets of one call speak the same \
                 dialect; many providers offer an OpenAI-shaped endpoint too",
                first.1, first.0, second.1, second.0
            ),
            Self::ModelNotCarried { target, dialect } => write!(
                f,
                "target {target} names a model, and the dialect {dialect} has no place for one: \
                 name the dialect of the API, or leave the model out"
            ),
        }
    }
}

impl StdError for BuildError {}
