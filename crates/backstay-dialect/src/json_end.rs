//! Whether a JSON answer arrived whole.

/// Tells whether a JSON document has arrived to its end, piece by piece, in constant memory.
///
/// Complete means: one value, closed, with nothing but white space around it. Brackets are counted,
/// not matched by kind; the document is not validated otherwise. A bare number or word has no end of
/// its own: it is complete wherever it ends (Chroma answers a count with one).
///
/// ```
/// use backstay_dialect::JsonEnd;
///
/// let mut end = JsonEnd::new();
/// end.feed(br#"{"choices": [{"text": "a } in a str"#);
/// assert!(!end.is_complete());
/// end.feed(b"ing\"}]}\n");
/// assert!(end.is_complete());
/// ```
#[derive(Clone, Debug, Default)]
pub struct JsonEnd {
    depth: u64,
    place: Place,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    #[default]
    Before,
    Inside,
    InString,
    /// Right behind a backslash in a string.
    Escape,
    /// A number, `true`, `false` or `null` that is the whole document: only its end can tell.
    Bare,
    After,
    /// Something that no white space accounts for lies before or behind the document.
    Astray,
}

// === impl JsonEnd ===

impl JsonEnd {
    /// A check that has seen nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next piece, which may begin and end anywhere.
    pub fn feed(&mut self, piece: &[u8]) {
        let mut at = 0;
        while let Some(&byte) = piece.get(at) {
            match self.place {
                Place::InString => {
                    let Some(found) = memchr::memchr2(b'"', b'\\', &piece[at..]) else {
                        return;
                    };
                    at += found;
                    self.place = match piece[at] {
                        b'"' if self.depth == 0 => Place::After,
                        b'"' => Place::Inside,
                        _ => Place::Escape,
                    };
                }
                Place::Escape => self.place = Place::InString,
                Place::Inside => match byte {
                    b'"' => self.place = Place::InString,
                    b'{' | b'[' => self.depth += 1,
                    b'}' | b']' => {
                        self.depth -= 1;
                        if self.depth == 0 {
                            self.place = Place::After;
                        }
                    }
                    _ => {}
                },
                Place::Before | Place::After => match byte {
                    b' ' | b'\t' | b'\n' | b'\r' => {}
                    b'{' | b'[' if self.place == Place::Before => {
                        self.depth = 1;
                        self.place = Place::Inside;
                    }
                    b'"' if self.place == Place::Before => self.place = Place::InString,
                    b'-' | b'0'..=b'9' | b't' | b'f' | b'n' if self.place == Place::Before => {
                        self.place = Place::Bare;
                    }
                    _ => self.place = Place::Astray,
                },
                Place::Bare => match byte {
                    b' ' | b'\t' | b'\n' | b'\r' => self.place = Place::After,
                    b'"' | b'{' | b'[' | b'}' | b']' | b',' | b':' => self.place = Place::Astray,
                    _ => {}
                },
                Place::Astray => return,
            }
            at += 1;
        }
    }

    /// Whether what was fed so far is a whole document.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        matches!(self.place, Place::After | Place::Bare)
    }
}
