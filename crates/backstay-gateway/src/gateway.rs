//! The gateway as a value: bound, served, reloaded, drained.

use crate::{
    config::{Config, ConfigError},
    routes::Pools,
    server::{self, Workers},
    shared::Shared,
};
use backstay::drain::DrainReport;
use backstay_client::Client;
use std::{error::Error as StdError, fmt, io, net::SocketAddr, sync::Arc};
use tokio::net::TcpListener;

/// A gateway whose sockets are open.
///
/// ```
/// use backstay_gateway::{Config, Gateway};
/// use backstay_mock::Mock;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mock = Mock::start().await?;
/// let text = format!(
///     r#"
///     [[listeners]]
///     address = "127.0.0.1:0"
///     [[targets]]
///     name = "mock"
///     dialect = "openai"
///     base_url = "{}/v1"
///     [[routes]]
///     model = "*"
///     targets = ["mock"]
///     "#,
///     mock.url()
/// );
/// let gateway = Gateway::bind(Config::parse(&text, "example.toml")?).await?;
/// println!("http://{}/v1", gateway.addresses()[0]);
/// let handle = gateway.handle();
/// let serving = tokio::spawn(gateway.serve());
/// handle.drain();
/// let report = serving.await?;
/// assert!(report.is_clean());
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Gateway {
    shared: Arc<Shared>,
    listeners: Vec<TcpListener>,
    addresses: Vec<SocketAddr>,
    workers: Arc<Workers>,
}

/// Steers a gateway that is being served. Clones steer the same one.
#[derive(Clone, Debug)]
pub struct Handle {
    shared: Arc<Shared>,
}

/// Why a gateway did not start.
#[derive(Debug)]
#[non_exhaustive]
pub enum StartError {
    /// The configuration cannot be used.
    Config(ConfigError),
    /// An address cannot be listened on.
    #[non_exhaustive]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// A thread that serves cannot be started.
    Threads(io::Error),
    /// The client for the upstreams cannot be made: no certificates, or a bad proxy in the environment.
    Client(backstay_client::BuildError),
}

// === impl Gateway ===

impl Gateway {
    /// Opens the sockets. Calls that come in wait until [`serve`](Self::serve).
    ///
    /// # Errors
    ///
    /// A [`StartError`]; nothing is left open then.
    pub async fn bind(config: Config) -> Result<Self, StartError> {
        Self::bind_with_threads(config, 0).await
    }

    /// The same, served by so many threads of its own; 0 is as [`bind`](Self::bind), which serves on the
    /// runtime that [`serve`](Self::serve) runs on.
    ///
    /// Each thread has a runtime of its own, keeps the connections that it was given, and has a pool of
    /// connections to the upstreams. That is the fastest way on more than one processor: no call moves from
    /// one to another.
    ///
    /// # Errors
    ///
    /// As of [`bind`](Self::bind).
    pub async fn bind_with_threads(config: Config, threads: usize) -> Result<Self, StartError> {
        let client = || {
            Client::<()>::builder()
                // The configuration has judged where plain http may go, target by target.
                .allow_http(true)
                .proxy(config.upstream.proxy.clone())
                .pool_max_idle_per_host(config.upstream.idle_connections)
                .user_agent(concat!("backstay-gateway/", env!("CARGO_PKG_VERSION")))
                .build()
                .map_err(StartError::Client)
        };
        let first = client()?;
        let others = (1..threads)
            .map(|_| client())
            .collect::<Result<Vec<_>, _>>()?;
        let pools = Pools::new(first, others);
        let workers = Workers::start(threads).map_err(StartError::Threads)?;
        let wanted: Vec<_> = config.listeners.iter().map(|l| l.address).collect();
        let shared = Shared::new(config, pools).map_err(StartError::Config)?;
        let mut listeners = Vec::with_capacity(wanted.len());
        let mut addresses = Vec::with_capacity(wanted.len());
        for address in wanted {
            let unbound = |source| StartError::Bind { address, source };
            let listener = TcpListener::bind(address).await.map_err(unbound)?;
            addresses.push(listener.local_addr().map_err(unbound)?);
            listeners.push(listener);
        }
        Ok(Self {
            shared: Arc::new(shared),
            listeners,
            addresses,
            workers: Arc::new(workers),
        })
    }

    /// Where it listens, in the order of the configuration.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// A handle to steer it with.
    pub fn handle(&self) -> Handle {
        Handle {
            shared: self.shared.clone(),
        }
    }

    /// Serves until a [drain](Handle::drain) has come to its end.
    pub async fn serve(self) -> DrainReport {
        let Self {
            shared,
            listeners,
            workers,
            ..
        } = self;
        for (place, listener) in listeners.into_iter().enumerate() {
            tokio::spawn(server::accept(
                listener,
                place,
                shared.clone(),
                workers.clone(),
            ));
        }
        shared.leaving.run(|| shared.live().config.drain).await
    }
}

// === impl Handle ===

impl Handle {
    /// Takes another configuration: for the calls to come. Those under way finish with the old one.
    ///
    /// # Errors
    ///
    /// When it cannot be used, and when the addresses of the listeners differ; the old one stays then.
    pub fn reload(&self, config: Config) -> Result<(), ConfigError> {
        self.shared.reload(config)
    }

    /// Begins the orderly end: `/readyz` says no, new calls are refused after `drain.delay`, those under
    /// way have `drain.grace`. A second call skips the delay and the grace.
    pub fn drain(&self) {
        self.shared.leaving.begin();
    }

    /// How many calls are under way.
    pub fn calls(&self) -> usize {
        self.shared.calls.now()
    }

    /// How many callers are connected.
    pub fn connections(&self) -> usize {
        self.shared.connections.now()
    }
}

// === impl StartError ===

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(error) => error.fmt(f),
            Self::Bind { address, .. } => write!(
                f,
                "{address} cannot be listened on; stop what uses it, or choose another `address` of the listener"
            ),
            Self::Threads(_) => f.write_str("a thread cannot be started; ask for fewer threads"),
            Self::Client(_) => f.write_str("the client for the upstreams cannot be made"),
        }
    }
}

impl StdError for StartError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::Config(_) => None,
            Self::Bind { source, .. } => Some(source),
            Self::Threads(source) => Some(source),
            Self::Client(source) => Some(source),
        }
    }
}
