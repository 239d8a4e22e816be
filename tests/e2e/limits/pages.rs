//! Pages: whole and in order however they are cut, and read on only with a token of the same list.

use api::{
    Refusal,
    handoff::v1::ListHandoffsRequest,
    lot::v1::ListLotsRequest,
    manufacturer::v1::ListManufacturersRequest,
    order::v1::ListOrdersRequest,
    program::v1::{CreateProgramRequest, ListProgramsRequest, Program},
    reason::v1::Reason,
};
use tonic::{Code, Response, Status};

use crate::{
    answers::{blamed, refused},
    custody::{Custody, offer},
    world::{At, Chain, TECHNICIAN, Who, fresh_id},
};

/// A list that somebody reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum List {
    Programs,
    Manufacturers,
    Orders,
    /// The brand's handoffs, by the brand.
    Handoffs,
    /// The same, by their receiver.
    HandoffsToFactory,
    /// factory-y's handoffs.
    HandoffsOfFactory,
    /// factory-y's lots.
    Lots,
}

const ALL: [List; 7] = [
    List::Programs,
    List::Manufacturers,
    List::Orders,
    List::Handoffs,
    List::HandoffsToFactory,
    List::HandoffsOfFactory,
    List::Lots,
];

type Page = Response<(Vec<String>, String)>;

impl List {
    /// The names on one page, and the token of the next.
    async fn page(self, page_size: i32, page_token: &str) -> Result<Page, Status> {
        let chain = Chain::shared().await;
        let page_token = page_token.to_owned();
        match self {
            Self::Programs => {
                let request = ListProgramsRequest { page_size, page_token };
                let page = chain.programs(Who::Alice).list_programs(request).await?;
                Ok(page.map(|p| (p.programs.into_iter().map(|p| p.program).collect(), p.next_page_token)))
            }
            Self::Manufacturers => {
                let request = ListManufacturersRequest { page_size, page_token };
                let page = chain.manufacturers(Who::Alice).list_manufacturers(request).await?;
                Ok(page.map(|p| (p.manufacturers.into_iter().map(|m| m.manufacturer).collect(), p.next_page_token)))
            }
            Self::Orders => {
                let request = ListOrdersRequest { page_size, page_token };
                let page = chain.orders(Who::Alice).list_orders(request).await?;
                Ok(page.map(|p| (p.orders.into_iter().map(|o| o.order).collect(), p.next_page_token)))
            }
            Self::Handoffs => Self::handoffs(Who::Alice, At::RootCa, page_size, page_token).await,
            Self::HandoffsToFactory => Self::handoffs(Who::FactoryCa, At::RootCa, page_size, page_token).await,
            Self::HandoffsOfFactory => Self::handoffs(Who::FactoryOperator, At::FactoryCa, page_size, page_token).await,
            Self::Lots => {
                let request = ListLotsRequest { page_size, page_token };
                let page = chain.lots(Who::FactoryOperator, At::FactoryCa).list_lots(request).await?;
                let names = |lots: Vec<api::lot::v1::Lot>| lots.into_iter().map(|l| l.facts.unwrap().lot).collect();
                Ok(page.map(|p| (names(p.lots), p.next_page_token)))
            }
        }
    }

    async fn handoffs(who: Who, at: At, page_size: i32, page_token: String) -> Result<Page, Status> {
        let request = ListHandoffsRequest { page_size, page_token };
        let page = Chain::shared().await.handoffs(who, at).list_handoffs(request).await?;
        Ok(page.map(|p| (p.handoffs.into_iter().map(|h| h.facts.unwrap().lot).collect(), p.next_page_token)))
    }

    async fn read(self, page_size: i32, page_token: &str) -> (Vec<String>, String) {
        self.page(page_size, page_token).await.unwrap().into_inner()
    }

    async fn refused(self, page_size: i32, page_token: &str, reason: Reason) -> Refusal {
        refused(self.page(page_size, page_token).await, reason, Code::InvalidArgument)
    }
}

/// At least two entries in every list.
async fn filled(order: &str, lots: [&str; 2]) {
    let custody = Custody::ordered(order, 10).await;
    for lot in lots {
        custody.hand_to_factory(lot, 2).await;
        let onward = offer(lot, TECHNICIAN, &format!("{lot}-t"), 1);
        custody.chain.handoffs(Who::FactoryOperator, At::FactoryCa).offer_handoff(onward).await.unwrap();
    }
    let program = Program {
        program: order.to_owned(),
        base_name: "pages.company-x.example".to_owned(),
        oid_arc: mfg::oid::DOCUMENTATION_ARC.to_owned(),
        max_device_id_length: 32,
        max_lot_id_length: 10,
    };
    let request = CreateProgramRequest { request_id: fresh_id(), program: Some(program) };
    custody.chain.programs(Who::Alice).create_program(request).await.unwrap();
}

#[tokio::test]
async fn pages_of_any_size_make_up_the_whole_list_in_order() {
    filled("pages-whole", ["pw-1", "pw-2"]).await;
    for list in ALL {
        // Others add to the lists meanwhile: what is there now must be there in the end.
        let (now, end) = list.read(1000, "").await;
        assert_eq!(end, "", "{list:?}");
        assert!(now.len() >= 2 && now.is_sorted(), "{list:?}: {now:?}");
        for size in [1, 2, 3] {
            let (mut walked, mut token) = (Vec::new(), String::new());
            loop {
                let (page, next) = list.read(size, &token).await;
                assert!(page.len() <= usize::try_from(size).unwrap(), "{list:?}");
                walked.extend(page);
                if next.is_empty() {
                    break;
                }
                token = next;
            }
            assert!(walked.is_sorted_by(|a, b| a < b), "{list:?} by {size}: {walked:?}");
            assert!(now.iter().all(|name| walked.contains(name)), "{list:?} by {size}: {now:?} in {walked:?}");
        }
    }
}

#[tokio::test]
async fn a_page_size_is_not_negative_and_has_a_default_and_a_limit() {
    filled("pages-size", ["ps-1", "ps-2"]).await;
    for list in ALL {
        for negative in [-1, i32::MIN] {
            let answer = list.page(negative, "").await;
            assert_eq!(blamed(answer.as_ref().unwrap_err()), "page_size", "{list:?}");
            refused(answer, Reason::RequestMalformed, Code::InvalidArgument);
        }
        for generous in [0, 1000, i32::MAX] {
            let (page, _) = list.read(generous, "").await;
            assert!((2..=1000).contains(&page.len()), "{list:?} by {generous}");
        }
    }
}

#[tokio::test]
async fn a_page_token_of_another_list_or_another_reader_is_refused() {
    filled("pages-foreign", ["pf-1", "pf-2"]).await;
    for of in ALL {
        let (_, token) = of.read(1, "").await;
        assert_ne!(token, "", "{of:?} has a second page");
        for list in ALL {
            // The brand's and the factory's own handoffs are lists of the same kind at two services: their tokens say who reads.
            if list == of || [list, of] == SAME_READER || [of, list] == SAME_READER {
                list.page(1, &token).await.unwrap();
            } else {
                list.refused(1, &token, Reason::PageTokenInvalid).await;
            }
        }
    }
}

/// factory-y reads handoffs at the brand and at home: a position among lot ids means the same in both.
const SAME_READER: [List; 2] = [List::HandoffsToFactory, List::HandoffsOfFactory];

#[tokio::test]
async fn a_page_token_that_was_changed_is_refused() {
    filled("pages-changed", ["pc-1", "pc-2"]).await;
    for list in ALL {
        let (_, token) = list.read(1, "").await;
        let (check, name) = token.split_once(':').unwrap();
        let changed = [
            name.to_owned(),
            format!(":{name}"),
            format!("{check}:"),
            format!("{check}:{name}x"),
            format!("{check}:a"),
            format!("after:{name}"),
            format!(" {token}"),
            token.to_uppercase(),
            "x".repeat(100_000),
            format!("{check}:{}", "x".repeat(100_000)),
        ];
        for changed in changed {
            list.refused(1, &changed, Reason::PageTokenInvalid).await;
        }
        list.read(1, &token).await;
    }
}
