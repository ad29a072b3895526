//! Who is trusted, and with which cryptography.

use crate::{BoxError, BuildError};
use rustls::{
    ClientConfig, RootCertStore,
    client::{WebPkiServerVerifier, danger::ServerCertVerifier},
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, pem::PemObject},
};
use std::sync::Arc;

/// A configuration without ALPN.
///
/// The provider is named: a process that has two of them compiled in, and many have, panics without.
pub(crate) fn client_config(
    extra: Vec<CertificateDer<'static>>,
) -> Result<ClientConfig, BuildError> {
    let provider = Arc::new(ring::default_provider());
    let verifier = verifier(extra, &provider)?;
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| BuildError::Tls {
            source: error.into(),
        })?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth())
}

/// Every certificate of a PEM text; at least one.
pub(crate) fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, BuildError> {
    let bad = |source: BoxError| BuildError::RootCertificate { source };
    let mut certificates = Vec::new();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|error| bad(error.into()))?;
        RootCertStore::empty()
            .add(certificate.clone())
            .map_err(|error| bad(error.into()))?;
        certificates.push(certificate);
    }
    if certificates.is_empty() {
        return Err(bad("no certificate in the PEM text".into()));
    }
    Ok(certificates)
}

/// The platform's roots if there are any, else those compiled in; in both cases with the extra ones.
fn verifier(
    extra: Vec<CertificateDer<'static>>,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ServerCertVerifier>, BuildError> {
    let no_platform = match platform(&extra, provider) {
        Ok(verifier) => return Ok(verifier),
        Err(why) => why,
    };
    let mut roots = RootCertStore::empty();
    #[cfg(feature = "webpki-roots")]
    roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    roots.add_parsable_certificates(extra);
    if roots.is_empty() {
        return Err(BuildError::NoRoots {
            source: no_platform,
        });
    }
    let verifier =
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
            .build()
            .map_err(|error| BuildError::Tls {
                source: error.into(),
            })?;
    Ok(verifier)
}

#[cfg(feature = "platform-roots")]
fn platform(
    extra: &[CertificateDer<'static>],
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ServerCertVerifier>, BoxError> {
    use rustls_platform_verifier::Verifier;

    // This one alone says whether the platform has roots: with extra ones it never fails for want of them.
    let bare = Verifier::new(Arc::clone(provider))?;
    if extra.is_empty() {
        return Ok(Arc::new(bare));
    }
    let verifier = Verifier::new_with_extra_roots(extra.iter().cloned(), Arc::clone(provider))?;
    Ok(Arc::new(verifier))
}

#[cfg(not(feature = "platform-roots"))]
fn platform(
    _extra: &[CertificateDer<'static>],
    _provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ServerCertVerifier>, BoxError> {
    Err("the feature `platform-roots` is off".into())
}
