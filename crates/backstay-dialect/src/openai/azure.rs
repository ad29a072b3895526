//! Azure OpenAI.

use std::ops::Range;

use http::HeaderName;

use super::meaning::Meaning;
use crate::dialect::CREDENTIALS;
use crate::json::Cursor;
use crate::request::read_top_level;
use crate::{Answer, AnswerFacts, Dialect, Event, EventFacts, Failure, RequestError, RequestFacts};

/// Azure OpenAI's chat completions, of both kinds.
///
/// In `…/openai/deployments/{deployment}/chat/completions` the path names the deployment, and the
/// body need not name a model; in `…/openai/v1/chat/completions` the body names it. The key goes in
/// `api-key`, or a token in `authorization`. A filter refuses a request with a 400
/// `content_filter`, and withholds an answer with a finish reason of that name.
///
/// Sources: Microsoft's reference of the service (content filters, quotas) and OpenAI's SDKs.
#[derive(Clone, Copy, Debug, Default)]
pub struct AzureOpenAi;

impl Dialect for AzureOpenAi {
    fn name(&self) -> &'static str {
        "azure-openai"
    }

    fn provider(&self) -> &'static str {
        "azure.ai.openai"
    }

    fn family(&self) -> &'static str {
        super::CHAT
    }

    fn carries_model(&self) -> bool {
        true
    }

    fn read_request(&self, path: &str, body: &[u8]) -> Result<RequestFacts, RequestError> {
        let Some(deployment) = deployment(path) else {
            return read_top_level(body);
        };
        let mut facts = match read_top_level(body) {
            // The path decides: whatever the body says of the model leaves nothing open.
            Err(
                RequestError::NoModel
                | RequestError::SecondModel
                | RequestError::ModelInOtherCase
                | RequestError::ModelNotAString,
            ) => RequestFacts {
                stream: asks_for_stream(body),
                ..RequestFacts::default()
            },
            read => read?,
        };
        facts.path_model = Some(deployment);
        Ok(facts)
    }

    fn portable_headers(&self) -> &'static [HeaderName] {
        static PORTABLE: [HeaderName; 1] = [CLIENT_REQUEST_ID];
        &PORTABLE
    }

    fn credential_headers(&self) -> &'static [HeaderName] {
        &CREDENTIALS
    }

    fn credential_parameters(&self) -> &'static [&'static str] {
        &["key", "api_key", "api-key", "subscription-key"]
    }

    fn request_id_headers(&self) -> &'static [HeaderName] {
        static REQUEST_ID: [HeaderName; 3] = [
            HeaderName::from_static("apim-request-id"),
            HeaderName::from_static("x-request-id"),
            CLIENT_REQUEST_ID,
        ];
        &REQUEST_ID
    }

    fn classify(&self, answer: &Answer<'_>) -> Failure {
        Meaning::ANY.classify(answer)
    }

    fn read_event<'a>(&self, event: &Event<'a>) -> EventFacts<'a> {
        Meaning::ANY.read_event(event)
    }

    fn read_answer(&self, body: &[u8]) -> AnswerFacts {
        Meaning::ANY.read_answer(body)
    }
}

const CLIENT_REQUEST_ID: HeaderName = HeaderName::from_static("x-ms-client-request-id");

/// Where the path names the deployment.
fn deployment(path: &str) -> Option<Range<usize>> {
    const BEFORE: &str = "/openai/deployments/";
    let path = path.split(['?', '#']).next().unwrap_or_default();
    let start = path.find(BEFORE)? + BEFORE.len();
    let length = path[start..].find('/')?;
    (length > 0).then_some(start..start + length)
}

fn asks_for_stream(body: &[u8]) -> bool {
    let mut stream = false;
    let scanned = Cursor::new(body).object(|cursor, key| {
        let span = cursor.span()?;
        if key == b"stream" {
            stream = body.get(span) == Some(b"true");
        }
        Ok(())
    });
    scanned.is_ok() && stream
}
