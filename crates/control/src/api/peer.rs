//! Who asks: the user on the other end of the socket, as the kernel tells.

use std::fs;

use axum::extract::connect_info::Connected;
use axum::serve::IncomingStream;
use tokio::net::UnixListener;

/// Where the names of users are. Those of a directory service are shown by their numbers.
const USERS: &str = "/etc/passwd";

/// The user who made a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Peer {
    user: Option<u32>,
}

impl Connected<IncomingStream<'_, UnixListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, UnixListener>) -> Self {
        let credentials = stream.io().peer_cred().ok();
        Self {
            user: credentials.map(|credentials| credentials.uid()),
        }
    }
}

impl Peer {
    /// The user's name, or number where it has none.
    pub(super) fn name(&self) -> Option<String> {
        let user = self.user?;
        let users = fs::read_to_string(USERS).unwrap_or_default();
        Some(name(&users, user).unwrap_or_else(|| format!("user {user}")))
    }
}

/// The name of a user in lines as `passwd(5)` has them.
fn name(users: &str, user: u32) -> Option<String> {
    let number = user.to_string();
    users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == number && !name.is_empty()).then(|| name.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_has_a_name_or_a_number() {
        let users = "root:x:0:0:root:/root:/bin/sh\nbad line\nada:x:1000:1000::/home/ada:/bin/sh\n";
        assert_eq!(name(users, 0), Some("root".into()));
        assert_eq!(name(users, 1000), Some("ada".into()));
        assert_eq!(name(users, 100), None);
        assert_eq!(
            Peer {
                user: Some(4_000_000)
            }
            .name(),
            Some("user 4000000".into())
        );
    }
}
