//! The pages: plain HTML, and nothing fetched from elsewhere.

use std::fmt::Write;

use shop::client::CallError;
use shop::goods::{Order, Orders, Product, Wish};

/// What the front page shows. Each part may be missing, for a reason.
pub(crate) struct Front {
    /// Something to tell the visitor.
    pub(crate) notice: Option<Notice>,
    /// What there is to buy.
    pub(crate) products: Result<Vec<Product>, CallError>,
    /// What was bought.
    pub(crate) orders: Result<Orders, CallError>,
    /// How often this page was seen, then each product in the order of `products`.
    pub(crate) views: Result<Vec<u64>, String>,
}

/// Something to tell the visitor.
pub(crate) enum Notice {
    /// It went as asked.
    Good(String),
    /// It did not.
    Bad(String),
}

const STYLE: &str = include_str!("style.css");

/// The front page.
pub(crate) fn front(front: &Front) -> String {
    let mut body = String::with_capacity(8192);
    match &front.notice {
        Some(Notice::Good(text)) => notice(&mut body, "good", text),
        Some(Notice::Bad(text)) => notice(&mut body, "bad", text),
        None => {}
    }
    let sold = |id: &str| match &front.orders {
        Ok(orders) => Some(orders.sold.get(id).copied().unwrap_or(0)),
        Err(_) => None,
    };
    let views = front.views.as_deref().unwrap_or_default();
    match &front.products {
        Ok(products) => {
            body.push_str("<section class=\"products\">");
            for (index, product) in products.iter().enumerate() {
                card(
                    &mut body,
                    product,
                    sold(&product.id),
                    views.get(index + 1).copied(),
                );
            }
            body.push_str("</section>");
        }
        Err(error) => notice(
            &mut body,
            "bad",
            &format!("The products cannot be shown: {error}."),
        ),
    }
    body.push_str("<h2>Recent orders</h2>");
    match &front.orders {
        Ok(orders) => recent(&mut body, orders),
        Err(error) => notice(
            &mut body,
            "bad",
            &format!("The orders cannot be shown: {error}."),
        ),
    }
    let seen = match (&front.views, views.first()) {
        (Ok(_), Some(count)) => format!("This page was seen {count} times."),
        (Ok(_), None) => "This page was not counted.".to_owned(),
        (Err(error), _) => {
            notice(
                &mut body,
                "bad",
                &format!("The visits cannot be counted: {error}."),
            );
            String::new()
        }
    };
    whole("Shop", &body, &seen)
}

/// The page of one product, and how often it was seen.
pub(crate) fn product(product: &Product, views: Result<Vec<u64>, String>) -> String {
    let mut body = String::new();
    body.push_str("<section class=\"products one\">");
    card(&mut body, product, None, None);
    body.push_str("</section><p><a href=\"/\">All products</a></p>");
    let seen = match views.map(|views| views.first().copied()) {
        Ok(Some(count)) => format!("This page was seen {count} times."),
        Ok(None) => String::new(),
        Err(error) => {
            notice(
                &mut body,
                "bad",
                &format!("The visits cannot be counted: {error}."),
            );
            String::new()
        }
    };
    whole(&product.name, &body, &seen)
}

/// A page with nothing but a message.
pub(crate) fn message(title: &str, text: &str) -> String {
    let mut body = String::new();
    notice(&mut body, "bad", text);
    body.push_str("<p><a href=\"/\">All products</a></p>");
    whole(title, &body, "")
}

fn card(page: &mut String, product: &Product, sold: Option<u64>, views: Option<u64>) {
    let Product {
        id,
        name,
        description,
        price_cents,
        stock,
    } = product;
    let left = match (stock, sold) {
        (None, _) => "always in stock".to_owned(),
        (Some(_), None) => String::new(),
        (Some(stock), Some(sold)) => match stock.saturating_sub(sold) {
            0 => "sold out".to_owned(),
            left => format!("{left} left"),
        },
    };
    let views = views
        .map(|views| format!("seen {views} times"))
        .unwrap_or_default();
    let facts = [left, views]
        .into_iter()
        .filter(|fact| !fact.is_empty())
        .collect::<Vec<_>>();
    let most = Wish::MOST;
    put(
        page,
        format_args!(
            "<article><h3><a href=\"/products/{id}\">{name}</a></h3><p>{description}</p>\
             <p class=\"price\">{price}</p><p class=\"facts\">{facts}</p>\
             <form method=\"post\" action=\"/orders\">\
             <input type=\"hidden\" name=\"product\" value=\"{id}\">\
             <label>Quantity <input type=\"number\" name=\"quantity\" value=\"1\" min=\"1\" \
             max=\"{most}\"></label> <button>Order</button></form></article>",
            id = escape(id),
            name = escape(name),
            description = escape(description),
            price = euros(*price_cents),
            facts = facts.join(" · "),
        ),
    );
}

fn recent(page: &mut String, orders: &Orders) {
    if orders.recent.is_empty() {
        page.push_str("<p>None yet. Be the first.</p>");
        return;
    }
    page.push_str("<table><tr><th>Order<th>Product<th>Quantity<th>Total</tr>");
    for Order {
        number,
        product,
        quantity,
        total_cents,
        ..
    } in &orders.recent
    {
        let (product, total) = (escape(product), euros(*total_cents));
        put(
            page,
            format_args!("<tr><td>{number}<td>{product}<td>{quantity}<td>{total}</tr>"),
        );
    }
    put(
        page,
        format_args!("</table><p class=\"facts\">{} in all</p>", orders.count),
    );
}

fn notice(page: &mut String, kind: &str, text: &str) {
    put(
        page,
        format_args!(
            "<p class=\"notice {kind}\" role=\"status\">{}</p>",
            escape(text)
        ),
    );
}

fn whole(title: &str, body: &str, seen: &str) -> String {
    let process = std::process::id();
    let title = escape(title);
    format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>{title}</title>\
         <link rel=\"icon\" href=\"data:,\"><style>{STYLE}</style>\
         <header><h1>{title}</h1><p>Things for the road</p></header><main>{body}</main>\
         <footer>{seen} Made by process {process}.</footer></html>\n"
    )
}

fn put(page: &mut String, text: std::fmt::Arguments<'_>) {
    // A String takes everything.
    let _ = page.write_fmt(text);
}

fn euros(cents: u64) -> String {
    format!("{}.{:02} €", cents / 100, cents % 100)
}

/// Makes text safe inside elements and quoted attributes.
fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            other => safe.push(other),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    fn down(service: &'static str) -> CallError {
        CallError {
            service,
            status: None,
            reason: "<refused>".into(),
        }
    }

    #[test]
    fn a_page_comes_without_any_service_and_says_what_is_missing() {
        let page = front(&Front {
            notice: None,
            products: Err(down("catalog")),
            orders: Err(down("orders")),
            views: Err("counter does not answer".into()),
        });
        assert!(
            page.contains("catalog does not answer: &lt;refused&gt;"),
            "{page}"
        );
        assert!(page.contains("orders does not answer"));
        assert!(page.contains("counter does not answer"));
        assert!(!page.contains("<refused>"));
    }

    #[test]
    fn stock_is_what_was_there_less_what_was_sold() {
        let product = |id: &str, stock| Product {
            id: id.into(),
            name: id.to_uppercase(),
            description: String::new(),
            price_cents: 1_05,
            stock,
        };
        let orders = Orders {
            sold: [("a".into(), 3), ("b".into(), 9)].into(),
            ..Orders::default()
        };
        let page = front(&Front {
            notice: None,
            products: Ok(vec![
                product("a", Some(5)),
                product("b", Some(9)),
                product("c", None),
            ]),
            orders: Ok(orders),
            views: Ok(vec![1, 2, 3, 4]),
        });
        for fact in [
            "2 left · seen 2 times",
            "sold out · seen 3",
            "always in stock",
            "1.05 €",
        ] {
            assert!(page.contains(fact), "{fact} is missing in {page}");
        }
    }
}
