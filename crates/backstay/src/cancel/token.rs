//! Waiting for tokens.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// The tokens of a call: the layer's, the request's, and that of the scope it was made in.
///
/// A waiter is made when something is waited for first, and lives on the heap so that the body which owns
/// it stays `Unpin`.
#[derive(Debug, Default)]
pub(super) struct Tokens([Option<Token>; 3]);

#[derive(Debug)]
struct Token {
    token: CancellationToken,
    wait: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
}

// === impl Tokens ===

impl Tokens {
    pub(super) fn new(
        of_layer: Option<&CancellationToken>,
        of_request: Option<&CancellationToken>,
    ) -> Self {
        Self([of_layer, of_request, None].map(|token| token.map(Token::new)))
    }

    /// Obeys the token of the scope too.
    pub(super) fn watch(&mut self, of_scope: &CancellationToken) {
        let [_, _, scope] = &mut self.0;
        *scope = Some(Token::new(of_scope));
    }

    #[inline]
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        // Most calls have none.
        if let [None, None, None] = self.0 {
            return Poll::Pending;
        }
        self.poll_some(cx)
    }

    fn poll_some(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        for Token { token, wait } in self.0.iter_mut().flatten() {
            let wait = wait.get_or_insert_with(|| Box::pin(token.clone().cancelled_owned()));
            if wait.as_mut().poll(cx).is_ready() {
                return Poll::Ready(());
            }
        }
        Poll::Pending
    }

    pub(super) fn have_fired(&self) -> bool {
        self.0
            .iter()
            .flatten()
            .any(|token| token.token.is_cancelled())
    }
}

// === impl Token ===

impl Token {
    fn new(token: &CancellationToken) -> Self {
        Self {
            token: token.clone(),
            wait: None,
        }
    }
}
