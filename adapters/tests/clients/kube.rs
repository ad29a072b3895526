//! kube takes a tower service as it is: no adapter is needed.
//!
//! Its body is not `Sync`, and cannot be sent twice; so that the fallback layer can retry, it is read into
//! memory at the top of the stack, which is where kube has it anyway.

use backstay::{
    Body, ErrorKind, ServiceBuilderExt, Timeouts,
    fallback::{Target, Targets},
};
use backstay_adapter_tests::{AMPLE, SHORT, find, http1, stack, upstream_closed, within};
use backstay_mock::{Mock, Reply, Script};
use http::Request;
use kube::{Client, client::ConfigExt};
use tower::{ServiceBuilder, ServiceExt};

#[tokio::test]
async fn the_layers_take_kubes_requests_as_they_are() {
    let mock = Mock::start().await.unwrap();
    mock.script_path("/pods", Reply::never_answer());
    let layered = ServiceBuilder::new()
        .layer(config(&mock).base_uri_layer())
        .deadline(SHORT)
        .unwrap()
        .timeouts(Timeouts::new())
        .unwrap()
        .service(plain_client::<kube::client::Body>());
    let kube = Client::new(layered, "default");
    let error = within(kube.request::<serde_json::Value>(pods()))
        .await
        .unwrap_err();
    assert!(matches!(error, kube::Error::Service(_)), "{error:?}");
    assert_eq!(find(&error).kind(), ErrorKind::Deadline);
    assert!(find(&error).trail().is_some());
    upstream_closed(&mock).await;
}

#[tokio::test]
async fn the_whole_stack_retries_under_kube() {
    let mock = Mock::start().await.unwrap();
    let listed = Reply::ok().json(&serde_json::json!({"items": []}));
    mock.script_path(
        "/pods",
        Script::new().attempt(Reply::status(503)).then(listed),
    );
    let targets = Targets::plain(Target::named("cluster").retries(1));
    let inner = stack(http1(), targets, Timeouts::new(), AMPLE);
    let layered = ServiceBuilder::new()
        .layer(config(&mock).base_uri_layer())
        .service_fn(move |request: Request<kube::client::Body>| {
            let inner = inner.clone();
            async move {
                let (head, body) = request.into_parts();
                let body = Body::from(body.collect_bytes().await?);
                inner.oneshot(Request::from_parts(head, body)).await
            }
        });
    let kube = Client::new(layered, "default");
    let pods = within(kube.request::<serde_json::Value>(pods()))
        .await
        .unwrap();
    assert_eq!(pods["items"], serde_json::json!([]));
    assert_eq!(mock.log().len(), 2);
}

fn config(mock: &Mock) -> kube::Config {
    kube::Config::new(mock.url().parse().unwrap())
}

fn pods() -> Request<Vec<u8>> {
    Request::get("/api/v1/namespaces/default/pods")
        .body(Vec::new())
        .unwrap()
}

fn plain_client<B>() -> backstay_client::Client<B>
where
    B: http_body::Body + Send,
    B::Data: Send,
{
    let client = backstay_client::Client::builder().http1_only();
    let client = client
        .allow_http(true)
        .proxy(backstay_client::Proxy::none());
    client.build().unwrap()
}
