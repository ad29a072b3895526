//! A configuration error names file, line and remedy; the examples are none.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test may"
)]

use backstay_gateway::{Config, Gateway, config::EXAMPLE};

const BASE: &str = r#"
[[targets]]
name = "a"
dialect = "openai"
base_url = "https://api.example.com/v1"

[[routes]]
model = "m"
targets = ["a"]
"#;

/// The line of the first difference to what works.
fn wrong(text: &str, line: usize) {
    let error = Config::parse(text, "gateway.toml").expect_err(text);
    assert_eq!(error.line(), Some(line), "{error}");
    assert_eq!(error.file(), "gateway.toml");
    assert!(!error.problem().is_empty() && !error.remedy().is_empty());
    assert!(
        error
            .to_string()
            .starts_with(&format!("gateway.toml:{line}:"))
    );
}

#[test]
fn a_small_one_is_enough() {
    Config::parse(BASE, "gateway.toml").unwrap();
}

#[test]
fn what_is_wrong_is_found_where_it_stands() {
    for (from, to, line) in [
        ("name = \"a\"", "name = ", 3),
        ("name = \"a\"", "nome = \"a\"", 3),
        ("name = \"a\"", "name = \"a\"\nretrys = 3", 4),
        ("dialect = \"openai\"", "dialect = \"opnai\"", 4),
        ("base_url = \"https:", "base_url = \"ftp:", 5),
        ("https://api.example.com/v1", "api.example.com", 5),
        ("https://api.example.com/v1", "http://api.example.com/v1", 5),
        (
            "https://api.example.com/v1",
            "https://user:pass@api.example.com",
            5,
        ),
        (
            "https://api.example.com/v1",
            "https://api.example.com/v1?key=1",
            5,
        ),
        ("targets = [\"a\"]", "targets = [\"b\"]", 9),
        ("targets = [\"a\"]", "targets = []", 7),
        (
            "targets = [\"a\"]",
            "targets = [\"a\"]\nbudget = \"10\"",
            10,
        ),
        ("targets = [\"a\"]", "targets = [\"a\"]\nbudget = \"0s\"", 7),
        (
            "targets = [\"a\"]",
            "targets = [\"a\"]\nbudget = \"1s\"\nreserve = \"2s\"",
            7,
        ),
        (
            "targets = [\"a\"]",
            "targets = [\"a\"]\ncommit = \"late\"",
            10,
        ),
        ("model = \"m\"", "", 7),
        ("model = \"m\"", "model = \"m\"\npath = \"/x\"", 7),
        ("model = \"m\"", "path = \"x\"", 8),
    ] {
        let text = BASE.replace(from, to);
        assert_ne!(text, BASE);
        wrong(&text, line);
    }
    wrong(&format!("{BASE}[limits]\ncalls = 0\n"), 11);
    wrong(&format!("{BASE}[limits]\nrequest_head = \"1KiB\"\n"), 11);
    wrong(
        &format!("{BASE}[[listeners]]\naddress = \"localhost\"\n"),
        11,
    );
    wrong(
        &format!("{BASE}[[listeners]]\naddress = \"127.0.0.1:1\"\norigins = [\"x\"]\n"),
        12,
    );
    wrong(&format!("{BASE}[[callers]]\nname = \"a\"\n"), 10);
}

#[test]
fn a_key_is_read_and_never_shown() {
    let file = std::env::temp_dir().join(format!("backstay-key-{}", std::process::id()));
    std::fs::write(&file, "sk-from-a-file\n").unwrap();
    let text = BASE.replace(
        "name = \"a\"",
        &format!("name = \"a\"\nkey_file = \"{}\"", file.display()),
    );
    let config = Config::parse(&text, "gateway.toml").unwrap();
    assert!(!format!("{config:?}").contains("sk-from"));
    let inline = BASE.replace(
        "name = \"a\"",
        "name = \"a\"\nkey_inline_insecure = \"sk-inline\"",
    );
    let config = Config::parse(&inline, "gateway.toml").unwrap();
    assert!(!format!("{config:?}").contains("sk-inline"));
    std::fs::remove_file(&file).unwrap();
    // The file is gone, the variable was never there, and an unmarked key is no setting.
    wrong(&text, 2);
    wrong(
        &BASE.replace(
            "name = \"a\"",
            "name = \"a\"\nkey_env = \"BACKSTAY_NOT_SET\"",
        ),
        2,
    );
    wrong(
        &BASE.replace("name = \"a\"", "name = \"a\"\nkey = \"sk-inline\""),
        4,
    );
    let twice = "name = \"a\"\nkey_env = \"PATH\"\nkey_inline_insecure = \"sk-twice\"";
    wrong(&BASE.replace("name = \"a\"", twice), 2);
    let bad = BASE.replace(
        "name = \"a\"",
        "name = \"a\"\nkey_inline_insecure = \"sk-\\nbroken\"",
    );
    let error = Config::parse(&bad, "gateway.toml").unwrap_err();
    assert!(!error.to_string().contains("sk-"));
}

#[test]
fn a_key_in_the_wrong_place_is_not_shown_either() {
    for line in [
        "key_env = \"sk-4242\"",
        "credential = \"sk-4242\"",
        "key_inline_insecure = 4242",
    ] {
        let text = BASE.replace("name = \"a\"", &format!("name = \"a\"\n{line}"));
        let error = Config::parse(&text, "gateway.toml").unwrap_err();
        assert!(!error.to_string().contains("4242"), "{error}");
        assert!(!format!("{error:?}").contains("4242"), "{error:?}");
    }
    let text = BASE.replace(
        "name = \"a\"",
        "name = \"a\"\nquery = \"key=sk-4242\"\nheaders = { authorization = \"Basic 4242\" }",
    );
    let config = Config::parse(&text, "gateway.toml").unwrap();
    assert!(!format!("{config:?}").contains("4242"), "{config:?}");
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let error = Config::load("/nowhere/gateway.toml").unwrap_err();
    assert_eq!(
        (error.file(), error.line()),
        ("/nowhere/gateway.toml", None)
    );
}

#[tokio::test]
async fn two_dialects_on_one_route_are_named() {
    let text = format!(
        "{BASE}[[targets]]\nname = \"b\"\ndialect = \"anthropic\"\nbase_url = \"https://b.example\"\n"
    )
    .replace("[\"a\"]", "[\"a\", \"b\"]");
    let config = Config::parse(&text, "gateway.toml").unwrap();
    let error = Gateway::bind(config).await.unwrap_err().to_string();
    assert!(error.starts_with("gateway.toml:7:"), "{error}");
    assert!(error.contains("anthropic") && error.contains("openai"));
}

#[tokio::test]
async fn the_example_can_be_used() {
    // Its keys are in variables that are not set here.
    let text: String = EXAMPLE
        .lines()
        .map(|line| {
            let line = if line.starts_with("key_env") {
                "key_inline_insecure = \"sk-example\""
            } else {
                line
            };
            format!("{line}\n")
        })
        .collect();
    let config = Config::parse(&text.replace("127.0.0.1:4141", "127.0.0.1:0"), "example").unwrap();
    Gateway::bind(config).await.unwrap();
    // What it calls the defaults are the defaults: the same stays when they are left out.
    let parsed = format!("{:?}", Config::parse(&text, "e").unwrap());
    let (head, tail) = text.split_once("# What routes leave out.").unwrap();
    assert!(tail.contains("[limits]"));
    let without = format!("{:?}", Config::parse(head, "e").unwrap());
    assert_eq!(parsed, without);
}

#[tokio::test]
async fn without_a_configuration_the_mock_answers() {
    let demo = Config::demo("http://127.0.0.1:1").unwrap();
    drop(demo);
    assert!(Config::demo("nonsense").is_err());
}

#[test]
fn the_readme_says_what_can_be_read() {
    let readme = include_str!("../README.md");
    let toml = readme.split("```toml\n").nth(1).unwrap();
    let toml = toml.split("```").next().unwrap();
    let text = toml
        .replace("key_env = \"OPENAI_API_KEY\"", "")
        .replace("key_env = \"GROQ_API_KEY\"", "");
    Config::parse(&text, "README.md").unwrap();
}
