//! Whatever a model is called, the path keeps its shape.
#![allow(clippy::unwrap_used, reason = "a test may")]

use backstay::{
    BuildError, ErrorKind,
    error::RequestProblem,
    fallback::{FallbackLayer, Target, Targets},
    trail::Reason,
};
use backstay_mock::{Mock, Reply};
use backstay_tests::{
    answer::{kind, read},
    spoken::{SPOKEN, Spoken},
    stack::{Setup, http1},
    within,
};

const ARN: &str =
    "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.anthropic.claude-sonnet-4-v1:0";

/// Names that would be more than one segment, or another one, if they stood in a path as they are.
const NAMES: [&str; 12] = [
    ARN,
    "meta/llama-3",
    "a/b/c",
    "/leading",
    "trailing/",
    "a?alt=other",
    "a#b",
    "a%2Fb",
    "%2e%2e",
    "a:streamGenerateContent",
    "a b",
    "ünïcode",
];

/// Names that no encoding makes safe.
const DOTS: [&str; 7] = [".", "..", "../x", "a/../b", "a/..", "a\\..\\b", "./a"];

/// The dialects whose paths name the model.
fn in_path() -> impl Iterator<Item = Spoken> {
    SPOKEN.into_iter().filter(|spoken| {
        let request = spoken.request("http://127.0.0.1", "first");
        request.uri().path().contains("first")
    })
}

/// The path with the call's own model, taken apart around it.
fn around(spoken: &Spoken) -> (String, String) {
    let request = spoken.request("http://127.0.0.1", "first");
    let model = spoken.model("first");
    let (before, after) = request.uri().path().split_once(&*model).unwrap();
    (before.to_owned(), after.to_owned())
}

#[test]
fn gemini_azure_and_bedrock_are_among_them() {
    let names: Vec<&str> = in_path().map(|spoken| spoken.dialect).collect();
    for name in [
        "gemini",
        "azure",
        "bedrock",
        "bedrock-invoke",
        "vertex-anthropic",
    ] {
        assert!(names.contains(&name), "{name}");
    }
}

#[tokio::test]
async fn a_name_is_one_segment() {
    let client = http1();
    for spoken in in_path() {
        let (before, after) = around(&spoken);
        for name in NAMES {
            let mock = Mock::start().await.unwrap();
            mock.script_default(Reply::text("Here"));
            let stack = Setup::new(Targets::new(spoken.target(name))).over(client.clone());
            let request = spoken.request(&mock.url(), "first");
            let query = request.uri().query().map(str::to_owned);
            let response = within(stack.call(request)).await;
            let answer = read(response.unwrap()).await;
            assert_eq!(answer.status, 200, "{spoken:?} {name}");
            assert!(answer.error.is_none(), "{spoken:?} {name}");

            let entry = &mock.log()[0];
            assert_eq!(entry.model, Some(spoken.model(name)), "{spoken:?}");
            assert_eq!(entry.dialect.unwrap().as_str(), spoken.dialect);
            assert_eq!(entry.query, query, "{spoken:?} {name}");
            let rest = entry.path.strip_prefix(&*before).unwrap();
            let segment = rest.strip_suffix(&*after).unwrap();
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~@%".contains(&byte);
            assert!(segment.bytes().all(plain), "{spoken:?} {segment}");
        }
    }
}

#[tokio::test]
async fn dots_are_refused_before_anything_is_sent() {
    let client = http1();
    for spoken in in_path() {
        // There the name begins with the maker's, so that only a part of it can be dots.
        let prefixed = !spoken.model("").is_empty();
        for name in DOTS
            .into_iter()
            .filter(|name| !prefixed || name.contains("/.."))
        {
            let mock = Mock::start().await.unwrap();
            let request = || spoken.request(&mock.url(), "first");
            let stack = Setup::new(Targets::new(spoken.target(name))).over(client.clone());
            let error = within(stack.call(request())).await.err().unwrap();
            let problem = ErrorKind::Request(RequestProblem::ModelInPath);
            assert_eq!(kind(&error), problem, "{spoken:?} {name}");
            assert!(mock.log().is_empty(), "{spoken:?} {name}");

            // After another target it is passed over.
            mock.script(spoken.model("busy"), Reply::status(503));
            let targets = Targets::new(spoken.target("busy"))
                .then(spoken.target(name))
                .then(spoken.target("last"))
                .retries(0);
            let stack = Setup::new(targets).over(client.clone());
            let response = within(stack.call(request())).await;
            let answer = read(response.unwrap()).await;
            assert!(answer.error.is_none(), "{spoken:?} {name}");
            let passed = answer.trail.passed_over();
            assert_eq!((&*passed[0].target, passed.len()), (name, 1));
            assert_eq!(passed[0].reason, Reason::Unsuitable);
            let asked: Vec<_> = mock.log().into_iter().map(|entry| entry.model).collect();
            let expected = ["busy", "last"].map(|name| Some(spoken.model(name)));
            assert_eq!(asked, expected, "{spoken:?} {name}");
        }
    }
}

#[tokio::test]
async fn a_target_with_a_path_of_its_own_keeps_that_ones_shape() {
    let (gemini, azure, bedrock) = (
        Spoken::of("gemini"),
        Spoken::of("azure"),
        Spoken::of("bedrock"),
    );
    for (spoken, before, after) in [
        (gemini, "/v1/models/", ":streamGenerateContent"),
        (azure, "/openai/deployments/", "/chat/completions"),
        (bedrock, "/model/", "/converse-stream"),
    ] {
        let path = format!("{before}{{model}}{after}");
        let with_path = |target: Target| target.path(path.clone());
        for name in DOTS {
            let built = FallbackLayer::new(Targets::new(with_path(spoken.target(name))));
            let refused = matches!(built, Err(BuildError::ModelInPath { .. }));
            assert!(refused, "{spoken:?} {name}");
        }
        let mock = Mock::start().await.unwrap();
        mock.script_default(Reply::text("Here"));
        let stack = Setup::new(Targets::new(with_path(spoken.target(ARN)))).http1();
        let response = within(stack.call(spoken.request(&mock.url(), "first"))).await;
        assert!(read(response.unwrap()).await.error.is_none(), "{spoken:?}");
        let entry = &mock.log()[0];
        assert_eq!(entry.model.as_deref(), Some(ARN));
        let encoded = ARN.replace(':', "%3A").replace('/', "%2F");
        assert_eq!(entry.path, format!("{before}{encoded}{after}"));
    }
}
