//! Paths by their segments.

use std::cmp::Reverse;
use std::collections::HashMap;

use model::Segment;

use super::Asked;
use super::candidates::{Candidate, Candidates};

/// What follows some segments.
#[derive(Debug)]
pub(super) struct Node<T> {
    /// Where the path ends here; in a tree of prefixes, where one does.
    here: Candidates<T>,
    /// Where all that follows fits.
    rest: Candidates<T>,
    literals: HashMap<Box<[u8]>, Node<T>>,
    /// Where any one segment fits.
    one: Option<Box<Node<T>>>,
}

impl<T> Default for Node<T> {
    fn default() -> Self {
        Self {
            here: Candidates::default(),
            rest: Candidates::default(),
            literals: HashMap::new(),
            one: None,
        }
    }
}

/// How specific a template is: what is compared first stands first, and more is better.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Shape {
    literals: usize,
    /// It fits paths of one length only.
    is_bounded: bool,
    segments: usize,
}

/// The most specific template that fits so far.
type Best<'a, T> = Option<(Shape, &'a Candidate<T>)>;

impl<T> Node<T> {
    pub(super) fn insert(&mut self, segments: &[Segment<'_>], candidate: Candidate<T>) {
        match segments {
            [] => self.here.insert(candidate),
            [Segment::Rest(_), ..] => self.rest.insert(candidate),
            [Segment::One(_), after @ ..] => {
                let node = self.one.get_or_insert_default();
                node.insert(after, candidate);
            }
            [Segment::Literal(text), after @ ..] => {
                let node = self.literals.entry(text.as_bytes().into());
                node.or_default().insert(after, candidate);
            }
        }
    }

    /// Removes the rule of `key`, and the nodes that lead to nothing then.
    pub(super) fn remove(&mut self, segments: &[Segment<'_>], key: &str) {
        match segments {
            [] => self.here.remove(key),
            [Segment::Rest(_), ..] => self.rest.remove(key),
            [Segment::One(_), after @ ..] => {
                if let Some(node) = &mut self.one {
                    node.remove(after, key);
                }
                self.one.take_if(|node| node.is_empty());
            }
            [Segment::Literal(text), after @ ..] => {
                let text = text.as_bytes();
                if let Some(node) = self.literals.get_mut(text) {
                    node.remove(after, key);
                    if node.is_empty() {
                        self.literals.remove(text);
                    }
                }
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.here.is_empty()
            && self.rest.is_empty()
            && self.literals.is_empty()
            && self.one.is_none()
    }

    /// The longest prefix of `path`.
    pub(super) fn longest(&self, path: &[u8], asked: &dyn Asked) -> Option<&Candidate<T>> {
        let mut rest = path.strip_prefix(b"/");
        let (mut node, mut longest) = (self, None);
        loop {
            rest?;
            longest = node.here.first(asked).or(longest);
            let next = rest.and_then(|after| {
                let (segment, after) = split(after);
                Some((node.literals.get(segment)?, after))
            });
            match next {
                Some((child, Some(after))) => (node, rest) = (child, Some(after)),
                Some((child, None)) => return child.here.first(asked).or(longest),
                None => return longest,
            }
        }
    }

    /// The most specific template that `path` fits.
    pub(super) fn best(&self, path: &[u8], asked: &dyn Asked) -> Option<&Candidate<T>> {
        if self.is_empty() {
            return None;
        }
        let mut best = None;
        self.search(path.strip_prefix(b"/"), Shape::default(), asked, &mut best);
        best.map(|(_, candidate)| candidate)
    }

    /// Looks through all that `rest` fits: none is left where the path is at its end.
    fn search<'a>(
        &'a self,
        rest: Option<&[u8]>,
        shape: Shape,
        asked: &dyn Asked,
        best: &mut Best<'a, T>,
    ) {
        let Some(rest) = rest else {
            let is_bounded = true;
            offer(
                &self.here,
                Shape {
                    is_bounded,
                    ..shape
                },
                asked,
                best,
            );
            return;
        };
        let mut next = shape;
        next.segments += 1;
        offer(&self.rest, next, asked, best);
        let (segment, after) = split(rest);
        if let (Some(node), false) = (&self.one, segment.is_empty()) {
            node.search(after, next, asked, best);
        }
        if let Some(node) = self.literals.get(segment) {
            next.literals += 1;
            node.search(after, next, asked, best);
        }
    }
}

/// Takes the first of `candidates` that may be it for the best, if it is better.
fn offer<'a, T>(
    candidates: &'a Candidates<T>,
    shape: Shape,
    asked: &dyn Asked,
    best: &mut Best<'a, T>,
) {
    let Some(candidate) = candidates.first(asked) else {
        return;
    };
    let is_better = best.is_none_or(|(other, best)| {
        (Reverse(shape), candidate.rank()) < (Reverse(other), best.rank())
    });
    if is_better {
        *best = Some((shape, candidate));
    }
}

/// The first segment, and what is behind the slash that follows it, if one does.
fn split(path: &[u8]) -> (&[u8], Option<&[u8]>) {
    match memchr::memchr(b'/', path) {
        Some(slash) => (&path[..slash], Some(&path[slash + 1..])),
        None => (path, None),
    }
}
