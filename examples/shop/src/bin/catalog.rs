//! The catalog: what there is to buy. It holds nothing that could be lost.

use std::process::ExitCode;
use std::sync::LazyLock;

use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use shop::goods::Product;
use shop::{serve, settings};

static PRODUCTS: LazyLock<Vec<Product>> = LazyLock::new(|| {
    let product = |id: &str, name: &str, description: &str, price_cents, stock| Product {
        id: id.to_owned(),
        name: name.to_owned(),
        description: description.to_owned(),
        price_cents,
        stock,
    };
    vec![
        product(
            "lantern",
            "Storm lantern",
            "Burns through the night, whatever blows.",
            4_900,
            Some(40),
        ),
        product(
            "kettle",
            "Camp kettle",
            "Boils a litre in four minutes.",
            3_250,
            Some(120),
        ),
        product(
            "rope",
            "Rope, 30 m",
            "Twisted hemp, holds a bridge.",
            2_400,
            Some(300),
        ),
        product(
            "compass",
            "Brass compass",
            "Points north. The last two.",
            8_900,
            Some(2),
        ),
        product(
            "guide",
            "Road builder's guide",
            "A book to print at home: it never runs out.",
            990,
            None,
        ),
    ]
});

fn main() -> ExitCode {
    shop::run("catalog", async {
        let router = Router::new()
            .route("/products", get(async || Json(&*PRODUCTS)))
            .route("/products/{id}", get(product));
        serve::serve("catalog", settings::port()?, router).await
    })
}

async fn product(Path(id): Path<String>) -> Response {
    match PRODUCTS.iter().find(|product| product.id == id) {
        Some(product) => Json(product).into_response(),
        None => serve::failure(StatusCode::NOT_FOUND, format!("there is no product {id:?}")),
    }
}
