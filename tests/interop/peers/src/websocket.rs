//! A real WebSocket server and client.

use std::net::SocketAddr;

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::net::TcpListener;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{accept_async, connect_async};

use super::{Stage, passed};

/// Echoes.
pub(crate) async fn serve() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let Ok(mut socket) = accept_async(stream).await else { return };
                while let Some(Ok(message)) = socket.next().await {
                    if message.is_text() || message.is_binary() {
                        socket.send(message).await.unwrap();
                    }
                }
            });
        }
    });
    address
}

pub(crate) async fn check(stage: &Stage) {
    let open = async |token: Option<String>| {
        let mut request = format!("ws://{}/socket", stage.address).into_client_request().unwrap();
        if let Some(token) = token {
            request.headers_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
        }
        connect_async(request).await
    };
    for (token, status) in [(None, 401), (Some(stage.token("chats")), 403)] {
        match open(token).await {
            Err(Error::Http(response)) => assert_eq!(response.status().as_u16(), status),
            other => panic!("{other:?}"),
        }
    }
    passed("a WebSocket without the scope is refused");

    let (mut socket, _) = open(Some(stage.token("chat"))).await.expect("a WebSocket with the scope");
    for size in [0, 125, 126, 65_536, 4 << 20] {
        let message = Message::binary(vec![7; size]);
        socket.send(message.clone()).await.unwrap();
        assert_eq!(socket.next().await.unwrap().unwrap(), message, "{size} bytes");
    }
    socket.close(None).await.unwrap();
    while let Some(Ok(_)) = socket.next().await {}
    passed("messages up to 4 MiB, and an orderly close");
}
