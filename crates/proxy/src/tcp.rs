//! TCP listeners: a connection to an endpoint for each one that a caller opens.

use std::rc::Rc;

use crate::dial::dial_alone;
use crate::http::phases::NoAnswer;
use crate::measure::Meter;
use crate::socket::Socket;
use crate::tunnel;
use crate::upstream::Upstream;
use crate::worker::Worker;

/// Serves one caller's connection.
pub(crate) async fn serve(worker: &Rc<Worker>, client: Socket, upstream: &Upstream) {
    let connected = async {
        let pass = upstream.enter(async || client.hung_up().await).await?;
        let backend = dial_alone(worker, upstream).await;
        Ok::<_, NoAnswer>((backend.map_err(NoAnswer::Failed)?, pass))
    };
    match connected.await {
        Ok((backend, _pass)) => {
            let counters = &upstream.counters;
            let meter = |cell| Meter::new(cell, None);
            let meters = (meter(&counters.received), meter(&counters.sent));
            let (client, backend) = ((&client, None), (&backend.socket, None));
            tunnel::relay(worker, meters, client, backend).await;
        }
        Err(NoAnswer::Failed(error)) => {
            // There is no other way to tell a caller that nobody is there.
            client.reset_on_close();
            tracing::debug!(upstream = %upstream.id, %error, "a TCP connection was refused");
        }
        // It has ended its connection while it waited for its turn.
        Err(_) => {}
    }
}
