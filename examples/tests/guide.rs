//! The guide is whole: a page per pattern, both ways on each, all of it compiled. That its Rust compiles is shown
//! by the doctests of `guide.rs`.
#![allow(clippy::unwrap_used, reason = "a test may")]

use std::{fs, path::Path};

const PATTERNS: [&str; 8] = [
    "batch",
    "cancellation",
    "errors",
    "fallback",
    "parallel",
    "services",
    "shutdown",
    "timeout",
];

fn read(path: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    fs::read_to_string(root.join(path)).unwrap()
}

#[test]
fn each_pattern_has_a_page_with_both_ways_and_their_sharp_edges() {
    for pattern in PATTERNS {
        let page = read(&format!("docs/guide/{pattern}.md"));
        let (_, page) = page.split_once("\n## Python\n").unwrap();
        let (python, backstay) = page.split_once("\n## backstay\n").unwrap();
        assert_eq!(python.matches("\n```python\n").count(), 1, "{pattern}");
        assert!(backstay.contains("\n```rust\n"), "{pattern}");
        for way in [python, backstay] {
            assert!(way.contains("\nSharp edges:\n\n- "), "{pattern}");
        }
    }
}

#[test]
fn each_page_is_linked_and_compiled() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/guide");
    let mut pages: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    pages.sort();
    assert_eq!(pages, PATTERNS.map(|pattern| format!("{pattern}.md")));
    let (index, compiled) = (read("docs/guide.md"), read("examples/guide.rs"));
    for page in pages {
        assert!(index.contains(&format!("(guide/{page})")), "{page}");
        let include = format!("include_str!(\"../docs/guide/{page}\")");
        assert!(compiled.contains(&include), "{page}");
    }
    // Nothing in there is left out of the compilation.
    for pattern in PATTERNS {
        let page = read(&format!("docs/guide/{pattern}.md"));
        assert!(!page.contains("```rust,"), "{pattern}");
    }
}
