//! The configuration that is used without one.

/// Every model goes to one server that speaks both dialects. Names show what a fallback does.
pub(super) fn text(url: &str) -> String {
    format!(
        r#"
[[targets]]
name = "mock"
dialect = "openai"
base_url = "{url}/v1"

[[targets]]
name = "mock-messages"
dialect = "anthropic"
base_url = "{url}"

[[targets]]
name = "overloaded"
dialect = "openai"
base_url = "{url}/v1"
model = "overloaded"
retries = 0

[[targets]]
name = "slow"
dialect = "openai"
base_url = "{url}/v1"
model = "slow-first-token"
clocks.stream.first_token = "1s"
clocks.unary.headers = "1s"
retries = 0

[[targets]]
name = "steady"
dialect = "openai"
base_url = "{url}/v1"
model = "steady"

[[routes]]
model = "*"
targets = ["mock"]

[[routes]]
model = "*"
targets = ["mock-messages"]

[[routes]]
model = "demo-fallback"
targets = ["overloaded", "slow", "steady"]
budget = "20s"

[[routes]]
path = "/api/v2/*"
targets = ["store"]

[[targets]]
name = "store"
dialect = "plain"
base_url = "{url}"

[upstream]
proxy = "none"
"#
    )
}
