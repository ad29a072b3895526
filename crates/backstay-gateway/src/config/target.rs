//! Where an attempt goes, from what is written to what it means.

use super::{
    ConfigError, Family, Target,
    credential::Hidden,
    error::Source,
    file,
    rules::{commit, timeouts},
};
use backstay::Timeouts;
use http::Uri;
use toml::Spanned;

pub(super) fn check(
    source: Source<'_>,
    tables: Vec<Spanned<file::TargetTable>>,
) -> Result<Vec<Target>, ConfigError> {
    let mut targets: Vec<Target> = Vec::with_capacity(tables.len());
    for table in tables {
        let at = table.span();
        let table = table.into_inner();
        if targets
            .iter()
            .any(|other| *other.name == **table.name.get_ref())
        {
            return Err(source.error(
                table.name.span(),
                format!("two targets are named {}", table.name.get_ref()),
                "give one of them another name",
            ));
        }
        let family = match &**table.dialect.get_ref() {
            "openai" => Family::OpenAi,
            "anthropic" => Family::Anthropic,
            "plain" => Family::Plain,
            other => {
                return Err(source.error(
                    table.dialect.span(),
                    format!("`{other}` is no dialect"),
                    "choose \"openai\", \"anthropic\" or \"plain\"",
                ));
            }
        };
        if family == Family::Plain && table.model.is_some() {
            return Err(source.error(
                at,
                "the target names a model, and the plain dialect has no place for one",
                "remove `model`, or name the dialect of the API",
            ));
        }
        let (origin, base_path) = base_url(source, &table.base_url, table.plaintext)?;
        let key = table.key().read(source, at)?;
        let callers_key = callers_key(source, table.credential.as_ref(), key.is_some())?;
        targets.push(Target {
            name: table.name.into_inner().into(),
            family,
            origin,
            base_path,
            query: table.query.map(Hidden),
            model: table.model.map(Into::into),
            key,
            callers_key,
            key_header: table.key_header,
            headers: Hidden(table.headers.into_iter().collect()),
            retries: table.retries,
            commit: commit(source, table.commit.as_ref())?,
            timeouts: Some(timeouts(table.clocks, Timeouts::new()))
                .filter(|timeouts| *timeouts != Timeouts::new()),
            clocks: table.clocks,
        });
    }
    Ok(targets)
}

/// Whether the target is given the caller's own key.
fn callers_key(
    source: Source<'_>,
    written: Option<&Spanned<String>>,
    has_key: bool,
) -> Result<bool, ConfigError> {
    match written {
        None => Ok(false),
        Some(written) if written.get_ref() != "caller" => Err(source.error(
            written.span(),
            // It may be a key.
            "what is written is no credential",
            "write \"caller\" to pass on the caller's own key, or name a key with `key_env`",
        )),
        Some(written) if has_key => Err(source.error(
            written.span(),
            "the target has a key of its own and the caller's",
            "keep one: `credential = \"caller\"`, or the key",
        )),
        Some(_) => Ok(true),
    }
}

/// Splits a base URL into origin and path.
fn base_url(
    source: Source<'_>,
    written: &Spanned<String>,
    plaintext: bool,
) -> Result<(String, String), ConfigError> {
    let text = written.get_ref();
    let error = |problem: String, remedy: &str| Err(source.error(written.span(), problem, remedy));
    let uri: Option<Uri> = text.parse().ok();
    let Some((scheme, authority, uri)) = uri
        .as_ref()
        .and_then(|uri| Some((uri.scheme_str()?, uri.authority()?, uri)))
    else {
        return error(
            format!("`{}` is no URL", without_userinfo(text)),
            "write it as the provider's SDK takes it, like \"https://api.openai.com/v1\"",
        );
    };
    if authority.as_str().contains('@') {
        return error(
            "the URL carries a user or password".to_owned(),
            "name the key with `key_env` or `key_file`",
        );
    }
    if uri.query().is_some() {
        return error(
            "the URL has a query".to_owned(),
            "leave it out: a key in a query ends up in logs",
        );
    }
    let host = authority.host().trim_matches(['[', ']']);
    let local = host == "localhost"
        || host
            .parse::<std::net::IpAddr>()
            .is_ok_and(|ip| ip.to_canonical().is_loopback());
    match scheme {
        "https" => {}
        "http" if local || plaintext => {}
        "http" => {
            return error(
                format!("plain http to {host} shows keys and prompts to the network"),
                "write https, or `plaintext = true` beside it where the network is yours",
            );
        }
        other => {
            return error(format!("`{other}` is not spoken"), "write https or http");
        }
    }
    let path = uri.path().trim_end_matches('/').to_owned();
    Ok((format!("{scheme}://{authority}"), path))
}

fn without_userinfo(text: &str) -> &str {
    text.rsplit('@').next().unwrap_or_default()
}
