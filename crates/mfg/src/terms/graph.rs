//! Who may hand lots to whom: a directed graph without cycles, from the brand to the device issuers.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::id::{LotId, ManufacturerId};

/// Most edges in one order's graph.
pub const MAX_EDGES: usize = 256;

/// One permitted handoff.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Edge {
    /// The sender.
    pub from: ManufacturerId,
    /// The receiver.
    pub to: ManufacturerId,
}

/// The checked graph: no cycles, everything reachable from the brand.
///
/// Built only by its checking constructor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Graph {
    brand: ManufacturerId,
    below: BTreeMap<ManufacturerId, Below>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Below {
    receivers: BTreeSet<ManufacturerId>,
    /// Handoffs on the longest route below, and the receiver it begins with.
    hops: usize,
    next: Option<ManufacturerId>,
    /// Octets of the longest names below, lot ids not counted: labels of manufacturers with their dots, and hops.
    widest: Vec<usize>,
}

/// Edges that make no graph of handoffs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GraphRefusal {
    /// No edges at all.
    #[error("the graph has no edges: nobody may receive a lot")]
    Empty,
    /// More edges than [`MAX_EDGES`].
    #[error("the graph has {0} edges, at most {MAX_EDGES} are read")]
    TooLarge(usize),
    /// The same edge twice.
    #[error("the edge from {} to {} stands twice", .0.from, .0.to)]
    Repeated(Edge),
    /// Lots could travel in a circle.
    #[error("the graph has a cycle through {0}")]
    Cycle(ManufacturerId),
    /// A sender that no lot can reach.
    #[error("{0} hands lots on, but no route from the brand leads to it")]
    Unreachable(ManufacturerId),
}

impl GraphRefusal {
    /// The published name of this refusal.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Empty => "GRAPH_EMPTY",
            Self::TooLarge(_) => "GRAPH_TOO_LARGE",
            Self::Repeated(_) => "GRAPH_EDGE_REPEATED",
            Self::Cycle(_) => "GRAPH_CYCLE",
            Self::Unreachable(_) => "GRAPH_UNREACHABLE",
        }
    }
}

/// A handoff that the terms do not permit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the terms let nobody hand a lot from {from} to {to}")]
pub struct RouteRefusal {
    /// The sender.
    pub from: ManufacturerId,
    /// The receiver.
    pub to: ManufacturerId,
}

impl RouteRefusal {
    /// The published name of this refusal.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        "OFF_ROUTE"
    }
}

impl Graph {
    /// Checks the edges and measures the routes.
    ///
    /// # Errors
    /// Every [`GraphRefusal`].
    pub fn new(brand: &ManufacturerId, edges: &[Edge]) -> Result<Self, GraphRefusal> {
        if edges.is_empty() {
            return Err(GraphRefusal::Empty);
        }
        if edges.len() > MAX_EDGES {
            return Err(GraphRefusal::TooLarge(edges.len()));
        }
        let mut below: BTreeMap<ManufacturerId, Below> = BTreeMap::new();
        below.entry(brand.clone()).or_default();
        for edge in edges {
            below.entry(edge.to.clone()).or_default();
            if !below.entry(edge.from.clone()).or_default().receivers.insert(edge.to.clone()) {
                return Err(GraphRefusal::Repeated(edge.clone()));
            }
        }
        let mut graph = Self { brand: brand.clone(), below };
        for manufacturer in graph.receivers_first()? {
            graph.measure(&manufacturer);
        }
        graph.all_reachable()?;
        Ok(graph)
    }

    /// Every manufacturer after all of its receivers; there is such an order exactly if there is no cycle.
    fn receivers_first(&self) -> Result<Vec<ManufacturerId>, GraphRefusal> {
        let mut done: BTreeSet<&ManufacturerId> = BTreeSet::new();
        let mut order = Vec::with_capacity(self.below.len());
        while order.len() < self.below.len() {
            let ready: Vec<_> = self
                .below
                .iter()
                .filter(|(who, below)| !done.contains(who) && below.receivers.iter().all(|to| done.contains(to)))
                .map(|(who, _)| who)
                .collect();
            if ready.is_empty() {
                let stuck = self.below.keys().find(|who| !done.contains(who)).unwrap_or(&self.brand);
                return Err(GraphRefusal::Cycle(stuck.clone()));
            }
            order.extend(ready.iter().map(|who| (*who).clone()));
            done.extend(ready);
        }
        Ok(order)
    }

    /// Measures the routes below one manufacturer, whose receivers are measured already.
    fn measure(&mut self, who: &ManufacturerId) {
        let Some(own) = self.below.get(who) else { return };
        let (mut hops, mut next, mut widest) = (0, None, vec![0]);
        for to in &own.receivers {
            let Some(theirs) = self.below.get(to) else { continue };
            if theirs.hops + 1 > hops {
                (hops, next) = (theirs.hops + 1, Some(to.clone()));
            }
            widest.resize(widest.len().max(theirs.widest.len() + 1), 0);
            for (longest, beyond) in widest.iter_mut().skip(1).zip(&theirs.widest) {
                *longest = (*longest).max(to.as_str().len() + 1 + beyond);
            }
        }
        if let Some(own) = self.below.get_mut(who) {
            own.hops = hops;
            own.next = next;
            own.widest = widest;
        }
    }

    fn all_reachable(&self) -> Result<(), GraphRefusal> {
        let mut reached = BTreeSet::from([&self.brand]);
        let mut frontier = vec![&self.brand];
        while let Some(who) = frontier.pop() {
            let receivers = self.below.get(who).into_iter().flat_map(|below| &below.receivers);
            for to in receivers {
                if reached.insert(to) {
                    frontier.push(to);
                }
            }
        }
        match self.below.keys().find(|who| !reached.contains(who)) {
            Some(lost) => Err(GraphRefusal::Unreachable(lost.clone())),
            None => Ok(()),
        }
    }

    /// The brand, where every route begins.
    #[must_use]
    pub fn brand(&self) -> &ManufacturerId {
        &self.brand
    }

    /// Every manufacturer of the graph, the brand included.
    pub fn manufacturers(&self) -> impl Iterator<Item = &ManufacturerId> {
        self.below.keys()
    }

    /// To whom `from` may hand lots.
    pub fn receivers(&self, from: &ManufacturerId) -> impl Iterator<Item = &ManufacturerId> {
        self.below.get(from).into_iter().flat_map(|below| &below.receivers)
    }

    /// Handoffs on the longest route below a manufacturer: the pathLenConstraint of its CA. None if it is no part
    /// of the graph.
    #[must_use]
    pub fn remaining_hops(&self, manufacturer: &ManufacturerId) -> Option<usize> {
        self.below.get(manufacturer).map(|below| below.hops)
    }

    /// The longest route, brand first.
    #[must_use]
    pub fn longest_route(&self) -> Vec<&ManufacturerId> {
        let mut route = vec![&self.brand];
        while let Some(next) = route.last().and_then(|who| self.below.get(*who)).and_then(|below| below.next.as_ref()) {
            route.push(next);
        }
        route
    }

    /// Octets of the longest names that routes can put before the base name, if lot ids have `lot_id_length` octets.
    #[must_use]
    pub(crate) fn widest_prefix(&self, lot_id_length: u8) -> usize {
        debug_assert!(usize::from(lot_id_length) <= LotId::MAX_LENGTH);
        let widest = self.below.get(&self.brand).map_or(&[][..], |below| &below.widest);
        let with_lots = |(hops, octets): (usize, &usize)| octets + hops * (usize::from(lot_id_length) + 1);
        widest.iter().enumerate().map(with_lots).max().unwrap_or(0)
    }

    /// Whether a lot may pass from one manufacturer to another.
    ///
    /// # Errors
    /// `OFF_ROUTE`.
    pub fn may_receive(&self, from: &ManufacturerId, to: &ManufacturerId) -> Result<(), RouteRefusal> {
        match self.below.get(from) {
            Some(below) if below.receivers.contains(to) => Ok(()),
            Some(_) | None => Err(RouteRefusal { from: from.clone(), to: to.clone() }),
        }
    }
}
