//! Waiting for tokens.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// The tokens of a call: the layer's, the request's, and that of the scope it was made in.
///
/// They live on the heap: most calls have none, and what owns them is moved. So does a waiter, which is made when
/// something is waited for first, so that the body which owns it stays `Unpin`.
#[derive(Debug, Default)]
pub(super) struct Tokens(Option<Box<[Option<Token>; 3]>>);

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
        if of_layer.is_none() && of_request.is_none() {
            return Self(None);
        }
        let tokens = [of_layer, of_request, None];
        Self(Some(Box::new(tokens.map(|token| token.map(Token::new)))))
    }

    /// Obeys the token of the scope too.
    pub(super) fn watch(&mut self, of_scope: &CancellationToken) {
        let [_, _, scope] = &mut **self.0.get_or_insert_default();
        *scope = Some(Token::new(of_scope));
    }

    #[inline]
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.0 {
            Some(tokens) => poll_some(tokens.as_mut_slice(), cx),
            None => Poll::Pending,
        }
    }

    pub(super) fn have_fired(&self) -> bool {
        let mut tokens = self.0.iter().flat_map(|tokens| tokens.iter().flatten());
        tokens.any(|token| token.token.is_cancelled())
    }
}

fn poll_some(tokens: &mut [Option<Token>], cx: &mut Context<'_>) -> Poll<()> {
    for Token { token, wait } in tokens.iter_mut().flatten() {
        let wait = wait.get_or_insert_with(|| Box::pin(token.clone().cancelled_owned()));
        if wait.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
    }
    Poll::Pending
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
