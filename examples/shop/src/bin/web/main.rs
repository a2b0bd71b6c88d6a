//! The front: the pages that a person opens. It holds nothing itself, and a page comes also when a
//! service that it asks is down, with a notice of what is missing.

mod counter;
mod page;

use std::process::ExitCode;
use std::sync::Arc;

use axum::Router;
use axum::extract::rejection::FormRejection;
use axum::extract::{Form, Path, Query, State};
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use counter::Counter;
use page::{Front, Notice};
use serde::Deserialize;
use shop::client::Service;
use shop::goods::{Order, Orders, Product, Wish};
use shop::{serve, settings};

/// The services that the pages are made from.
#[derive(Debug)]
struct Web {
    catalog: Service,
    orders: Service,
    counter: Counter,
}

/// What stands in the address of the front page.
#[derive(Debug, Deserialize)]
struct FrontQuery {
    /// The number of the order that was just placed.
    placed: Option<u64>,
}

fn main() -> ExitCode {
    shop::run("web", async {
        let web = Web {
            catalog: Service::new("catalog", &settings::address("CATALOG_URL")?),
            orders: Service::new("orders", &settings::address("ORDERS_URL")?),
            counter: Counter::new(settings::address("COUNTER_ADDR")?),
        };
        let router = Router::new()
            .route("/", get(front))
            .route("/products/{id}", get(product))
            .route("/orders", post(place))
            .with_state(Arc::new(web));
        serve::serve("web", settings::port()?, router).await
    })
}

async fn front(State(web): State<Arc<Web>>, Query(query): Query<FrontQuery>) -> Html<String> {
    let notice = query
        .placed
        .map(|number| Notice::Good(format!("Order {number} is placed.")));
    Html(web.front(notice).await)
}

async fn product(State(web): State<Arc<Web>>, Path(id): Path<String>) -> Response {
    if !is_id(&id) {
        return not_found(&id);
    }
    let product = web.catalog.get::<Product>(&format!("/products/{id}")).await;
    match product {
        Ok(product) => {
            let views = web.counter.ask(&[format!("INCR product:{id}")]).await;
            Html(page::product(&product, views)).into_response()
        }
        Err(error) if error.status == Some(StatusCode::NOT_FOUND) => not_found(&id),
        Err(error) => {
            let page = page::message("This product cannot be shown", &error.to_string());
            (StatusCode::SERVICE_UNAVAILABLE, Html(page)).into_response()
        }
    }
}

async fn place(State(web): State<Arc<Web>>, wish: Result<Form<Wish>, FormRejection>) -> Response {
    let wish = match wish {
        Ok(Form(wish)) => wish,
        Err(error) => {
            let notice = Notice::Bad(format!("This is not an order: {error}"));
            return (error.status(), Html(web.front(Some(notice)).await)).into_response();
        }
    };
    match web.orders.post::<Order>("/orders", &wish).await {
        Ok(order) => Redirect::to(&format!("/?placed={}", order.number)).into_response(),
        Err(error) => {
            let status = error.status.unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
            let notice = Notice::Bad(format!("Your order was not placed: {error}"));
            (status, Html(web.front(Some(notice)).await)).into_response()
        }
    }
}

impl Web {
    /// The front page, made from what the services answer.
    async fn front(&self, notice: Option<Notice>) -> String {
        let (products, orders) = tokio::join!(
            self.catalog.get::<Vec<Product>>("/products"),
            self.orders.get::<Orders>("/orders"),
        );
        let mut questions = vec!["INCR front".to_owned()];
        if let Ok(products) = &products {
            questions.extend(
                products
                    .iter()
                    .map(|product| format!("GET product:{}", product.id)),
            );
        }
        let views = self.counter.ask(&questions).await;
        page::front(&Front {
            notice,
            products,
            orders,
            views,
        })
    }
}

/// Whether a text may be a product's id; what is none must not become another service's path.
fn is_id(text: &str) -> bool {
    (1..=32).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_lowercase() || b == b'-')
}

fn not_found(id: &str) -> Response {
    let page = page::message(
        "There is no such product",
        &format!("Nothing here is called {id:?}."),
    );
    (StatusCode::NOT_FOUND, Html(page)).into_response()
}
