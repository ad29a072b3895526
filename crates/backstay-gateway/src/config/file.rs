//! The configuration as it is written.

use super::{
    credential::KeySource,
    units::{Size, Span},
};
use serde::Deserialize;
use std::collections::BTreeMap;
use toml::Spanned;

/// One file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
#[derive(Default)]
pub(super) struct File {
    pub(super) listeners: Vec<Spanned<ListenerTable>>,
    pub(super) callers: Vec<Spanned<CallerTable>>,
    pub(super) targets: Vec<Spanned<TargetTable>>,
    pub(super) routes: Vec<Spanned<RouteTable>>,
    pub(super) defaults: Option<Spanned<Rules>>,
    pub(super) limits: LimitsTable,
    pub(super) drain: DrainTable,
    pub(super) upstream: UpstreamTable,
    pub(super) trails: TrailsTable,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListenerTable {
    pub(super) address: Spanned<String>,
    #[serde(default)]
    pub(super) hosts: Vec<String>,
    #[serde(default)]
    pub(super) origins: Vec<Spanned<String>>,
    pub(super) deadline_headers: Option<Spanned<DeadlineHeaders>>,
}

/// `true`, `false`, or a list of names.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum DeadlineHeaders {
    Trusted(bool),
    Listed(Vec<String>),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CallerTable {
    pub(super) name: String,
    pub(super) key_env: Option<String>,
    pub(super) key_file: Option<String>,
    pub(super) key_inline_insecure: Option<super::credential::Secret>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TargetTable {
    pub(super) name: Spanned<String>,
    pub(super) dialect: Spanned<String>,
    pub(super) base_url: Spanned<String>,
    pub(super) query: Option<String>,
    pub(super) model: Option<String>,
    pub(super) credential: Option<Spanned<String>>,
    pub(super) key_env: Option<String>,
    pub(super) key_file: Option<String>,
    pub(super) key_inline_insecure: Option<super::credential::Secret>,
    pub(super) key_header: Option<String>,
    #[serde(default)]
    pub(super) headers: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) plaintext: bool,
    pub(super) retries: Option<u32>,
    pub(super) commit: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) clocks: ClocksTable,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RouteTable {
    pub(super) model: Option<String>,
    #[serde(default)]
    pub(super) models: Vec<String>,
    pub(super) path: Option<Spanned<String>>,
    pub(super) targets: Vec<Spanned<String>>,
    #[serde(default)]
    pub(super) forward_headers: Vec<String>,
    pub(super) budget: Option<Spanned<Span>>,
    pub(super) reserve: Option<Spanned<Span>>,
    pub(super) min_attempt: Option<Spanned<Span>>,
    pub(super) max_wait: Option<Spanned<Span>>,
    pub(super) retries: Option<u32>,
    pub(super) retry_uncertain: Option<bool>,
    pub(super) commit: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) clocks: ClocksTable,
}

/// What a route may set, for all that do not.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Rules {
    pub(super) budget: Option<Spanned<Span>>,
    pub(super) reserve: Option<Spanned<Span>>,
    pub(super) min_attempt: Option<Spanned<Span>>,
    pub(super) max_wait: Option<Spanned<Span>>,
    pub(super) retries: Option<u32>,
    pub(super) retry_uncertain: Option<bool>,
    pub(super) commit: Option<Spanned<String>>,
    pub(super) clocks: ClocksTable,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ClocksTable {
    pub(super) connect: Option<Span>,
    pub(super) stream: ClockTable,
    pub(super) unary: ClockTable,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ClockTable {
    pub(super) headers: Option<Span>,
    pub(super) first_token: Option<Span>,
    pub(super) idle: Option<Span>,
    pub(super) liveness: Option<Span>,
    pub(super) attempt: Option<Span>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct LimitsTable {
    pub(super) connections: Option<Spanned<usize>>,
    pub(super) calls: Option<Spanned<usize>>,
    pub(super) request_body: Option<Spanned<Size>>,
    pub(super) buffered: Option<Spanned<Size>>,
    pub(super) request_head: Option<Spanned<Size>>,
    pub(super) head_time: Option<Spanned<Span>>,
    pub(super) body_time: Option<Spanned<Span>>,
    pub(super) idle_time: Option<Spanned<Span>>,
    pub(super) streams_per_connection: Option<Spanned<u32>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct DrainTable {
    pub(super) delay: Option<Span>,
    pub(super) grace: Option<Span>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct UpstreamTable {
    pub(super) proxy: Option<Spanned<String>>,
    pub(super) idle_connections: Option<Spanned<usize>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct TrailsTable {
    pub(super) keep: Option<usize>,
}

// === impl CallerTable, TargetTable ===

impl CallerTable {
    pub(super) fn key(&self) -> KeySource {
        KeySource {
            key_env: self.key_env.clone(),
            key_file: self.key_file.clone(),
            key_inline_insecure: self.key_inline_insecure.clone(),
        }
    }
}

impl TargetTable {
    pub(super) fn key(&self) -> KeySource {
        KeySource {
            key_env: self.key_env.clone(),
            key_file: self.key_file.clone(),
            key_inline_insecure: self.key_inline_insecure.clone(),
        }
    }
}
