//! The orders: takes them when the catalog has the product and enough of it is left, and keeps
//! them in a file.

mod ledger;

use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use ledger::{Ledger, PlaceError};
use shop::client::Service;
use shop::goods::{Product, Wish};
use shop::{serve, settings};

#[derive(Clone)]
struct Orders {
    catalog: Service,
    /// Held while the file is read and written, so that one thread at a time does.
    ledger: Arc<Mutex<Ledger>>,
}

fn main() -> ExitCode {
    shop::run("orders", async {
        let ledger = Ledger::open(&settings::data_folder()?).map_err(|error| error.to_string())?;
        let orders = Orders {
            catalog: Service::new("catalog", &settings::address("CATALOG_URL")?),
            ledger: Arc::new(Mutex::new(ledger)),
        };
        let router = Router::new()
            .route("/orders", get(list).post(place))
            .with_state(orders);
        serve::serve("orders", settings::port()?, router).await
    })
}

async fn list(State(orders): State<Orders>) -> Response {
    match orders.with_ledger(|ledger| ledger.orders().cloned()).await {
        Ok(orders) => Json(orders).into_response(),
        Err(error) => serve::failure(StatusCode::INTERNAL_SERVER_ERROR, error),
    }
}

async fn place(State(orders): State<Orders>, Json(wish): Json<Wish>) -> Response {
    if !(1..=Wish::MOST).contains(&wish.quantity) {
        let reason = format!("an order is for 1 to {} of a product", Wish::MOST);
        return serve::failure(StatusCode::UNPROCESSABLE_ENTITY, reason);
    }
    // What is not a product's id must not become another path.
    if !wish
        .product
        .bytes()
        .all(|b| b.is_ascii_lowercase() || b == b'-')
    {
        let reason = format!("there is no product {:?}", wish.product);
        return serve::failure(StatusCode::NOT_FOUND, reason);
    }
    let product: Product = match orders
        .catalog
        .get(&format!("/products/{}", wish.product))
        .await
    {
        Ok(product) => product,
        Err(error) if error.status == Some(StatusCode::NOT_FOUND) => {
            return serve::failure(StatusCode::NOT_FOUND, error.reason);
        }
        Err(error) => {
            let reason = format!("no order can be taken now, because {error}");
            return serve::failure(StatusCode::SERVICE_UNAVAILABLE, reason);
        }
    };
    match orders
        .with_ledger(move |ledger| ledger.place(&product, wish.quantity))
        .await
    {
        Ok(order) => (StatusCode::CREATED, Json(order)).into_response(),
        Err(error @ PlaceError::SoldOut { .. }) => serve::failure(StatusCode::CONFLICT, error),
        Err(error @ PlaceError::Ledger(_)) => {
            eprintln!("orders: {error}");
            serve::failure(StatusCode::INTERNAL_SERVER_ERROR, error)
        }
    }
}

impl Orders {
    /// Works on the ledger beside the thread that serves, since the disk is waited for.
    async fn with_ledger<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Ledger) -> T + Send + 'static,
    ) -> T {
        let ledger = Arc::clone(&self.ledger);
        let work = move || {
            // Whatever a panic left half done, the ledger reads again from its file.
            let mut ledger = ledger.lock().unwrap_or_else(PoisonError::into_inner);
            work(&mut ledger)
        };
        match tokio::task::spawn_blocking(work).await {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        }
    }
}
