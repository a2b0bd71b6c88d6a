//! A WebSocket whose server says why it ends it and then resets the connection: what was said
//! reaches the client, as it does without a proxy. Found by Autobahn's case 5.14.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{Request, Version};
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};

use crate::support::backend::Connection;
use crate::support::client::{Client, End};
use crate::support::edge_with;
use crate::support::http2::{connect, run};

/// It is a matter of who is scheduled first; many of these were lost when any were.
const TIMES: usize = 50;
const LAST_WORDS: &[u8] = b"last words";

/// Agrees to open a WebSocket, and ends it with a reset.
fn serve(connection: &mut Connection) {
    let Some(head) = connection.head() else {
        return;
    };
    let mut lines = head.lines().filter_map(|line| line.split_once(": "));
    let key = lines.find(|(name, _)| name.eq_ignore_ascii_case("sec-websocket-key"));
    let key = format!("{}258EAFA5-E914-47DA-95CA-C5AB0DC85B11", key.unwrap().1);
    let accept = STANDARD.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, key.as_bytes()));
    connection.send(format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n\r\n"
    ));
    connection.exactly(1);
    connection.send(LAST_WORDS);
    connection.reset_on_close();
}

#[test]
fn the_last_words_of_a_websocket_reach_a_client_of_http2() {
    let (_setup, edge, _backend) = edge_with(serve);
    run(async {
        for time in 0..TIMES {
            let mut sender = connect(edge).await.ready().await.unwrap();
            while !sender.is_extended_connect_protocol_enabled() {
                // Its settings are the first that it sends.
                tokio::task::yield_now().await;
            }
            let request = Request::builder()
                .method("CONNECT")
                .version(Version::HTTP_2);
            let mut request = request.uri("http://a.test/").body(()).unwrap();
            let protocol = h2::ext::Protocol::from_static("websocket");
            request.extensions_mut().insert(protocol);
            let (response, mut stream) = sender.send_request(request, false).unwrap();
            let mut body = response.await.unwrap().into_body();
            stream
                .send_data(Bytes::from_static(b"more"), false)
                .unwrap();
            let mut heard = Vec::new();
            let end = loop {
                match body.data().await {
                    Some(Ok(data)) => heard.extend_from_slice(&data),
                    end => break end,
                }
            };
            assert_eq!(heard, LAST_WORDS, "time {time}, and then {end:?}");
            assert!(matches!(end, Some(Err(_))), "it is no orderly end: {end:?}");
        }
    });
}

#[test]
fn the_last_words_of_a_websocket_reach_a_client_of_http1() {
    let (_setup, edge, _backend) = edge_with(serve);
    for time in 0..TIMES {
        let mut client = Client::connect(edge);
        client.send(
            "GET / HTTP/1.1\r\nHost: a.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
        );
        client.head();
        client.send("more");
        let (heard, end) = client.rest();
        assert_eq!((&heard[..], end), (LAST_WORDS, End::Reset), "time {time}");
    }
}
