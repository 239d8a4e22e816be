//! Links: attached where the address is the device's own, refused by name elsewhere; and their credit.

use std::collections::VecDeque;

use api::Refusal;
use device_wire::amqp::{Attach, Detach, Flow, Performative, Role, SenderSettle, Value, address};

use super::{
    connection::{Connection, Over, WINDOW},
    fault,
    link::{Address, Channel, Down, Kind, Link, Up, Way},
};
use crate::wire::limits;

/// Highest handle of a session.
pub(super) const HANDLE_MAX: u32 = 15;
/// Links that are refused in one connection before it is closed.
const MAX_REFUSED_LINKS: u32 = 16;
/// Messages that a device may send over a link before it is given more credit.
pub(super) const CREDIT: u32 = 100;

impl Connection {
    pub(super) fn channel(&mut self, number: u16) -> Result<&mut Channel, Over> {
        let unknown = || Over::Refused(fault::unexpected("a frame of a session that was not begun"));
        self.channels.get_mut(&number).ok_or_else(unknown)
    }

    pub(super) async fn attach(&mut self, number: u16, attach: Attach) -> Result<(), Over> {
        let handle = attach.handle;
        let links = &self.channel(number)?.links;
        if handle > HANDLE_MAX || links.contains_key(&handle) {
            return Err(Over::Refused(fault::unexpected("a handle beyond handle-max, or one that is attached")));
        }
        let terminus = match attach.role {
            Role::Sender => &attach.target,
            Role::Receiver => &attach.source,
        };
        let text = address(terminus).unwrap_or_default().to_owned();
        let found = Address::parse(&text);
        if let Some(Address { device, .. }) = found
            && device != self.admitted.claimed()
            && device != self.admitted.device().as_ref()
        {
            let refusal = self.other_device(device).await;
            return self.refuse_link(number, &attach, &refusal);
        }
        let Some(way) = found.and_then(|address| self.way(address.kind, &attach)) else {
            let refusal = Refusal::new("TOPIC_REFUSED", format!("an address that does not exist here: {text}"));
            self.house.refused_in_session(&self.admitted, &refusal).await;
            return self.refuse_link(number, &attach, &refusal);
        };
        let answer = Attach {
            role: opposite(attach.role),
            initial_delivery_count: matches!(way, Way::Down(_)).then_some(0),
            max_message_size: Some(u64::from(self.house.limits.max_message_bytes)),
            properties: Vec::new(),
            ..attach
        };
        self.say(number, &Performative::Attach(Box::new(answer)));
        let is_up = matches!(way, Way::Up(_));
        if let (Some(Address { kind, .. }), Ok(channel)) = (found, self.channel(number)) {
            channel.links.insert(handle, Link { kind, way });
        }
        if is_up {
            self.grant(number, handle);
        }
        Ok(())
    }

    fn way(&self, kind: Kind, attach: &Attach) -> Option<Way> {
        match (attach.role, kind) {
            (Role::Sender, Kind::Events | Kind::Methods | Kind::Twin) => {
                // Section 2.7.3: a sender says where its count begins.
                let count = attach.initial_delivery_count.unwrap_or(0);
                Some(Way::Up(Up { count, credit: 0, partial: None }))
            }
            (Role::Receiver, Kind::CloudToDevice | Kind::Methods | Kind::Twin) => {
                let settled = match attach.sender_settle {
                    SenderSettle::Settled => true,
                    SenderSettle::Unsettled => false,
                    // What is requested and answered is not held for anybody.
                    SenderSettle::Mixed => kind != Kind::CloudToDevice,
                };
                Some(Way::Down(Down { count: 0, credit: 0, settled, waiting: VecDeque::new() }))
            }
            (Role::Sender, Kind::CloudToDevice) | (Role::Receiver, Kind::Events) => None,
        }
    }

    /// A device that names another one is judged under that name, so that the refusal says what is wrong with it.
    async fn other_device(&mut self, device: &str) -> Refusal {
        match self.house.admit(&self.visitor, device).await {
            Err(refusal) => refusal,
            Ok(_) => {
                let message = format!("the connection is {}'s, the address names {device}", self.admitted.device());
                let refusal = Refusal::new("CLAIMED_NAME_DIFFERS", message);
                self.house.refused(&self.visitor, device, &refusal).await;
                refusal
            }
        }
    }

    /// Section 2.6.3: a link is refused by attaching it without a terminus and detaching it with the reason. The connection stays, since
    /// SDKs tell their user why a link was detached, and not why a connection was closed meanwhile; but not for ever.
    fn refuse_link(&mut self, number: u16, attach: &Attach, refusal: &Refusal) -> Result<(), Over> {
        self.refused_links += 1;
        if self.refused_links > MAX_REFUSED_LINKS {
            return Err(Over::Unauthorized(refusal.clone()));
        }
        let (mut source, mut target) = (attach.source.clone(), attach.target.clone());
        match attach.role {
            Role::Sender => target = Value::Null,
            Role::Receiver => source = Value::Null,
        }
        let initial_delivery_count = (attach.role == Role::Receiver).then_some(0);
        let (role, properties) = (opposite(attach.role), Vec::new());
        let answer = Attach { role, source, target, initial_delivery_count, properties, ..attach.clone() };
        self.say(number, &Performative::Attach(Box::new(answer)));
        let error = Some(fault::unauthorized(refusal));
        self.say(number, &Performative::Detach(Detach { handle: attach.handle, closed: true, error }));
        Ok(())
    }

    pub(super) fn detach(&mut self, number: u16, detach: &Detach) -> Result<(), Over> {
        // The answer to our own detach of a refused link has no link any more.
        if let Some(link) = self.channel(number)?.links.remove(&detach.handle) {
            if link.kind == Kind::Twin {
                self.desired = None;
            }
            let answer = Detach { handle: detach.handle, closed: detach.closed, error: None };
            self.say(number, &Performative::Detach(answer));
        }
        Ok(())
    }

    /// Gives a link over which the device sends its full credit again.
    pub(super) fn grant(&mut self, number: u16, handle: u32) {
        let Some(channel) = self.channels.get_mut(&number) else { return };
        let mut flow = state(channel);
        let Some(Link { way: Way::Up(up), .. }) = channel.links.get_mut(&handle) else { return };
        up.credit = CREDIT;
        flow = Flow { handle: Some(handle), delivery_count: Some(up.count), link_credit: Some(CREDIT), ..flow };
        self.say(number, &Performative::Flow(flow));
    }

    pub(super) async fn flow(&mut self, number: u16, flow: Flow) -> Result<(), Over> {
        let channel = self.channel(number)?;
        // Section 2.5.6: what the device takes beyond what it already knows of.
        let base = flow.next_incoming_id.unwrap_or(0);
        channel.window = base.wrapping_add(flow.incoming_window).wrapping_sub(channel.next_outgoing).min(1 << 16);
        let mut answer = None;
        match flow.handle {
            None => answer = flow.echo.then(|| state(channel)),
            Some(handle) => {
                let mut told = state(channel);
                if let Some(Link { way: Way::Down(down), .. }) = channel.links.get_mut(&handle) {
                    // Section 2.6.7: credit counts from the device's view of the delivery count.
                    let (count, credit) = (flow.delivery_count.unwrap_or(0), flow.link_credit.unwrap_or(0));
                    down.credit = count.wrapping_add(credit).wrapping_sub(down.count).min(1 << 16);
                    if flow.drain && down.waiting.is_empty() {
                        down.count = down.count.wrapping_add(down.credit);
                        down.credit = 0;
                    }
                    told.delivery_count = Some(down.count);
                    told.link_credit = Some(down.credit);
                    told.drain = flow.drain;
                }
                told.handle = Some(handle);
                answer = (flow.echo || flow.drain).then_some(told).or(answer);
            }
        }
        if let Some(answer) = answer {
            self.say(number, &Performative::Flow(answer));
        }
        self.stalled = false;
        self.push().await
    }

    /// Room for another message of the device's queue, over every link that takes them.
    pub(super) fn may_hold_more(&self) -> bool {
        let held: usize = self.channels.values().map(|channel| channel.held.len()).sum();
        held < limits::count(self.house.limits.max_held)
    }
}

/// The state of a session, for a Flow (section 2.7.4).
pub(super) fn state(channel: &mut Channel) -> Flow {
    channel.unreported = 0;
    Flow {
        next_incoming_id: Some(channel.next_incoming),
        incoming_window: WINDOW,
        next_outgoing_id: channel.next_outgoing,
        outgoing_window: WINDOW,
        ..Flow::default()
    }
}

fn opposite(role: Role) -> Role {
    match role {
        Role::Sender => Role::Receiver,
        Role::Receiver => Role::Sender,
    }
}
