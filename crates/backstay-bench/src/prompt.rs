//! Requests of different sizes and texts, with their model at one end or the other.

use bytes::Bytes;

/// What the prompt is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Text {
    /// Dialogue: quotes, line feeds, accents and dashes, each escaped, as Python's `json.dumps` writes them.
    Prose,
    /// Words without anything to escape.
    Plain,
    /// Pictures.
    Base64,
    /// Source code with JSON in it: an escape every few bytes.
    Code,
}

/// Where the model stands in the document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    First,
    Last,
}

/// A message is about this long; a picture is one string, however long.
const MESSAGE_BYTES: usize = 16 * 1024;

/// As they stand in a JSON string.
const PROSE: [&str; 6] = [
    r#"\"You are late,\" she said.\n"#,
    r#"\"Am I?\" He looked at the clock \u2013 it had stopped \u2013 and then at the door.\n"#,
    r#"The caf\u00e9 was empty.\n\n\t\"Na\u00efve,\" M\u00fcller wrote on the menu, \"but not wrong.\"\n"#,
    r#"\"Save it to C:\\temp\\notes.txt,\" the voice went on, \"and call me.\"\n"#,
    r#"Nobody answered.\r\n"#,
    r#"\u201cWell,\u201d said the doctor, \u201cthat\u2019s that.\u201d\n"#,
];

const PLAIN: [&str; 4] = [
    "Air scatters blue light more than red light, which is why the sky is blue at noon. ",
    "In the evening the light goes a longer way through it and what is left of it is red. ",
    "Clouds are white because their drops are large. ",
    "None of this needs more than one paragraph to explain, and yet here are very many of them. ",
];

const CODE: [&str; 4] = [
    r#"let body = json!({\"model\": \"gpt-4o\", \"stream\": true, \"n\": [1, 2]});\n"#,
    r#"    if name == \"\\\"\" || name.starts_with(\"\\\\\") {\n        return Err(\"bad\");\n    }\n"#,
    r#"{\"id\":\"a1\",\"role\":\"user\",\"tags\":[\"x\",\"y\",\"z\"],\"ok\":true}\n"#,
    r#"println!(\"{}\\t{}\\n\", key, value);\n"#,
];

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

// === impl Text ===

impl Text {
    pub(crate) const ALL: [Self; 4] = [Self::Prose, Self::Plain, Self::Base64, Self::Code];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Prose => "prose",
            Self::Plain => "plain",
            Self::Base64 => "base64",
            Self::Code => "code",
        }
    }

    /// The content of the messages, as JSON, each with about so many bytes.
    fn contents(self, bytes: usize) -> Vec<String> {
        let mut dice = Dice(0x2545_f491_4f6c_dd1d);
        if self == Self::Base64 {
            let data: String = (0..bytes)
                .map(|_| char::from(BASE64[dice.below(BASE64.len())]))
                .collect();
            let picture = format!(
                r#"[{{"type":"text","text":"What is this?"}},{{"type":"image_url","image_url":{{"url":"data:image/png;base64,{data}"}}}}]"#
            );
            return vec![picture];
        }
        let pieces: &[&str] = match self {
            Self::Prose => &PROSE,
            Self::Plain | Self::Base64 => &PLAIN,
            Self::Code => &CODE,
        };
        let mut contents = Vec::new();
        let mut left = bytes;
        while left > 0 {
            let most = left.min(MESSAGE_BYTES);
            let mut content = String::from('"');
            while content.len() < most {
                content.push_str(pieces[dice.below(pieces.len())]);
            }
            left = left.saturating_sub(content.len());
            content.push('"');
            contents.push(content);
        }
        contents
    }
}

// === impl Place ===

impl Place {
    pub(crate) const ALL: [Self; 2] = [Self::First, Self::Last];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::First => "model-first",
            Self::Last => "model-last",
        }
    }
}

/// A chat request with a prompt of about so many bytes.
pub(crate) fn request(text: Text, bytes: usize, place: Place) -> Bytes {
    let mut messages = String::from(r#"{"role":"system","content":"You answer in one sentence."}"#);
    for content in text.contents(bytes) {
        messages.push_str(r#",{"role":"user","content":"#);
        messages.push_str(&content);
        messages.push('}');
    }
    let rest =
        format!(r#""messages":[{messages}],"stream":true,"temperature":0.2,"max_tokens":128"#);
    let model = r#""model":"gpt-4o""#;
    match place {
        Place::First => format!("{{{model},{rest}}}"),
        Place::Last => format!("{{{rest},{model}}}"),
    }
    .into()
}

/// Numbers that look random and are the same in every run (xorshift).
struct Dice(u64);

// === impl Dice ===

impl Dice {
    fn below(&mut self, most: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        #[allow(clippy::cast_possible_truncation)]
        let high = (self.0 >> 33) as usize;
        high % most
    }
}
