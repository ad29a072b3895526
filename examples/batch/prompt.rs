//! What is asked, and how an answer is read.

use backstay::{Body, BoxError};
use backstay_mock::{Mock, Reply, Script};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Limited};
use serde_json::{Value, json};
use tokio::time::Duration;

/// One item of the batch.
pub(crate) struct Prompt {
    pub(crate) text: String,
    pub(crate) model: String,
}

/// The most bytes of an answer.
const MAX_ANSWER: usize = 1024 * 1024;
/// How long the scripted provider takes for an answer.
const GENERATION: Duration = Duration::from_millis(200);

// === impl Prompt ===

impl Prompt {
    /// `head`: what all requests have in common.
    pub(crate) fn request(&self, head: &Request<()>) -> Request<Body> {
        let document = json!({
            "model": self.model,
            "messages": [{"role": "user", "content": self.text}],
        });
        head.clone().map(|()| Body::from(document.to_string()))
    }
}

/// Made-up prompts, all for one model.
pub(crate) fn made_up(count: usize, model: &str) -> Vec<Prompt> {
    (0..count)
        .map(|number| Prompt {
            text: format!("What is the {number}th part of a sailing boat's rigging? One sentence."),
            model: model.to_owned(),
        })
        .collect()
}

/// The same for a mock of which some models fail, each in its own way.
pub(crate) fn with_faults(mock: &Mock, count: usize) -> Vec<Prompt> {
    let answers = Reply::text("A stay.").delay_headers(GENERATION);
    mock.script("answers", answers.clone());
    mock.script("refuses", Reply::status(400));
    mock.script("overloaded", Reply::status(503));
    mock.script("hangs", Reply::never_answer());
    mock.script("cut", answers.clone().cut_after_tokens(1));
    mock.script("nonsense", Reply::ok().body("no JSON at all"));
    let mut prompts = made_up(count, "answers");
    for (number, prompt) in prompts.iter_mut().enumerate() {
        let model = match number % 25 {
            4 => "refuses".to_owned(),
            9 => "overloaded".to_owned(),
            14 => "hangs".to_owned(),
            19 => "cut".to_owned(),
            24 if number % 50 == 24 => "nonsense".to_owned(),
            // Fails once, and then answers: nobody will see it.
            11 => {
                let model = format!("flaky-{number}");
                let once = Script::new().attempt(Reply::status(500));
                mock.script(model.clone(), once.then(answers.clone()));
                model
            }
            _ => continue,
        };
        prompt.model = model;
    }
    prompts
}

/// Reads an answer to its end: only then is an item done.
pub(crate) async fn answer<B>(response: Response<B>) -> Result<String, BoxError>
where
    B: http_body::Body<Data = Bytes, Error = BoxError>,
{
    let read = Limited::new(response.into_body(), MAX_ANSWER)
        .collect()
        .await?;
    let answer: Value = serde_json::from_slice(&read.to_bytes())?;
    let text = answer.pointer("/choices/0/message/content");
    let text = text.and_then(Value::as_str);
    Ok(text.ok_or("there is no text in the answer")?.to_owned())
}
