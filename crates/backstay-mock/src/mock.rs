//! The running mock.

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use crate::dialect::Dialect;
use crate::doors::Port;
use crate::log::{Logged, OnEnded};
use crate::outage::Outage;
use crate::outage_handle::OutageHandle;
use crate::script::Script;
use crate::server;
use crate::shared::Shared;

/// A scripted provider and vector store on loopback.
///
/// It runs as tasks on the runtime it was started on, in real time (its delays are `tokio::time`'s: do
/// not pause the clock of a runtime that also has its sockets). Dropping it closes every connection and
/// the port; [`shutdown`](Mock::shutdown) also waits until that is done.
pub struct Mock {
    addr: SocketAddr,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

/// How a [`Mock`] is started; from [`Mock::builder`].
pub struct MockBuilder {
    addr: SocketAddr,
    seed: u64,
    chat_as: Dialect,
    on_ended: Option<OnEnded>,
}

// === impl Mock: its life ===

impl Mock {
    /// Starts a mock on a free port of 127.0.0.1.
    ///
    /// # Errors
    ///
    /// Whatever the system says to binding the port.
    pub async fn start() -> io::Result<Self> {
        Self::builder().start().await
    }

    /// Says where and how before starting.
    #[must_use]
    pub fn builder() -> MockBuilder {
        MockBuilder {
            addr: (Ipv4Addr::LOCALHOST, 0).into(),
            seed: 0,
            chat_as: Dialect::OpenAiChat,
            on_ended: None,
        }
    }

    /// The address it listens on.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// `http://127.0.0.1:PORT`, without a slash at the end.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Closes the port and every connection, and waits until they are closed.
    pub async fn shutdown(mut self) {
        self.stop();
        // Either error (cancelled, panicked) says that the task is over, which is what is asked.
        let _ = (&mut self.accepting).await;
        self.shared.all_closed().await;
    }

    fn stop(&self) {
        self.shared.stopping();
        self.accepting.abort();
    }
}

impl Drop for Mock {
    fn drop(&mut self) {
        self.stop();
    }
}

// === impl Mock: its script ===

impl Mock {
    /// What requests for `model` get, from the next one on. A new script starts at its first step.
    pub fn script(&self, model: impl Into<String>, script: impl Into<Script>) {
        self.shared
            .book
            .lock()
            .set_model(model.into(), script.into());
    }

    /// What requests get whose path ends with `suffix` (`/query`, `/embeddings`, `/heartbeat`) and whose
    /// model has no script of its own. Of several suffixes that fit, the longest counts.
    pub fn script_path(&self, suffix: impl Into<String>, script: impl Into<Script>) {
        self.shared
            .book
            .lock()
            .set_path(suffix.into(), script.into());
    }

    /// What all other requests get, counted per model or path. It also takes the place of the
    /// [names that stand for faults](crate::names). Health and lists of models are left alone.
    pub fn script_default(&self, script: impl Into<Script>) {
        self.shared.book.lock().set_default(script.into());
    }
}

// === impl Mock: its outages ===

impl Mock {
    /// Begins an outage. When this returns, it is in force (unless it was told to begin
    /// [later](Outage::after)), and for a hard one the port is closed; connections that were open are
    /// reset soon after.
    ///
    /// ```
    /// # use backstay_mock::{Mock, Outage, Reply};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> std::io::Result<()> {
    /// let mock = Mock::start().await?;
    /// let outage = mock.outage(Outage::new(Reply::status(503)).of_model("gpt-4o"));
    /// // Every request for gpt-4o fails now, whatever its script says.
    /// outage.recover();
    /// # Ok(())
    /// # }
    /// ```
    pub fn outage(&self, outage: Outage) -> OutageHandle {
        OutageHandle::begin(outage, &self.shared)
    }

    /// Ends every outage. When this returns, the port is open again.
    pub fn recover(&self) {
        self.shared.outages.lock().recover();
        self.shared.outages_changed();
    }
}

// === impl Mock: what it saw ===

impl Mock {
    /// Copies of all entries, oldest first.
    #[must_use]
    pub fn log(&self) -> Vec<Logged> {
        self.shared.log.lock().snapshot()
    }

    /// Copies of the entries for `model`, oldest first.
    #[must_use]
    pub fn requests(&self, model: &str) -> Vec<Logged> {
        self.shared.log.lock().of_model(model)
    }

    /// How many requests for `model` there have been, also after [`clear_log`](Self::clear_log).
    #[must_use]
    pub fn attempts(&self, model: &str) -> usize {
        self.shared.book.lock().attempts(model)
    }

    /// How many requests are being answered.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.shared.in_flight.lock().all().now
    }

    /// The most requests that were ever in flight together.
    #[must_use]
    pub fn peak_in_flight(&self) -> usize {
        self.shared.in_flight.lock().all().peak
    }

    /// How many requests for `model` are being answered.
    #[must_use]
    pub fn in_flight_of(&self, model: &str) -> usize {
        self.shared.in_flight.lock().of_model(model).now
    }

    /// The most requests for `model` that were ever in flight together, from when each was read.
    #[must_use]
    pub fn peak_in_flight_of(&self, model: &str) -> usize {
        self.shared.in_flight.lock().of_model(model).peak
    }

    /// How many connections are open.
    #[must_use]
    pub fn connections_open(&self) -> usize {
        self.shared.connections_open()
    }

    /// How many connections were ever accepted.
    #[must_use]
    pub fn connections_accepted(&self) -> usize {
        self.shared.connections_accepted()
    }

    /// Waits until `condition` holds for the log, and says whether it did within `timeout`. It is looked
    /// at whenever the log or the number of connections changes, so it may also ask the mock itself.
    pub async fn wait_until(
        &self,
        mut condition: impl FnMut(&[Logged]) -> bool,
        timeout: Duration,
    ) -> bool {
        let holds = async {
            loop {
                let changed = self.shared.changed.notified();
                tokio::pin!(changed);
                // Listen first, look second: a change in between is then not missed.
                changed.as_mut().enable();
                if condition(&self.log()) {
                    return;
                }
                changed.await;
            }
        };
        tokio::time::timeout(timeout, holds).await.is_ok()
    }

    /// Forgets all entries; requests in flight are not logged any further. Counts go on.
    pub fn clear_log(&self) {
        self.shared.log.lock().clear();
    }
}

impl fmt::Debug for Mock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mock")
            .field("addr", &self.addr)
            .field("in_flight", &self.in_flight())
            .field("connections_open", &self.connections_open())
            .finish_non_exhaustive()
    }
}

// === impl MockBuilder ===

impl MockBuilder {
    /// The address to listen on; it must be a loopback one. Default: a free port of 127.0.0.1.
    #[must_use]
    pub fn addr(mut self, addr: impl Into<SocketAddr>) -> Self {
        self.addr = addr.into();
        self
    }

    /// Chooses other words for the replies that have no text of their own. Default: 0.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Whose chat completions are spoken at a path that says `chat/completions` and no more; it is a
    /// member of the OpenAI-shaped family. Default: [`Dialect::OpenAiChat`]. For one request, the
    /// family's name as the path's first segment does the same: `/mistral/v1/chat/completions`.
    #[must_use]
    pub fn chat_as(mut self, dialect: Dialect) -> Self {
        self.chat_as = dialect;
        self
    }

    /// Called with each request's entry when it has ended. It must be quick: it runs where the answer did.
    #[must_use]
    pub fn on_ended(mut self, observe: impl Fn(&Logged) + Send + Sync + 'static) -> Self {
        self.on_ended = Some(Box::new(observe));
        self
    }

    /// Starts it, on the current tokio runtime.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if the address is not a loopback one, or [`chat_as`](Self::chat_as) is no chat
    /// completions; else what the system says to binding it.
    pub async fn start(self) -> io::Result<Mock> {
        if !self.addr.ip().is_loopback() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "the mock listens on loopback addresses only",
            ));
        }
        if !self.chat_as.is_openai_chat() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "this dialect is not one of chat completions",
            ));
        }
        let listener = TcpListener::bind(self.addr).await?;
        let addr = listener.local_addr()?;
        let shared = Arc::new(Shared::new(
            Port::new(listener, addr),
            self.seed,
            self.chat_as,
            self.on_ended,
            Handle::current(),
        ));
        let accepting = tokio::spawn(server::accept(Arc::clone(&shared)));
        Ok(Mock {
            addr,
            shared,
            accepting,
        })
    }
}

impl fmt::Debug for MockBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MockBuilder")
            .field("addr", &self.addr)
            .field("seed", &self.seed)
            .finish_non_exhaustive()
    }
}
