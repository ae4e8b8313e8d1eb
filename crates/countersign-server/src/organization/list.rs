//! Lists of organisations: a piece at a time, in the order of their names.

use std::collections::BTreeMap;

use countersign_core::OrganizationId;
use countersign_store::{Admin, Organization, Signpost, Store, StoreError, organizations_page};

use crate::web::Context;

/// Which organisations a list is of.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Listed<'a> {
    /// All that the registry has told of.
    All,
    /// Those that wait for an operator's answer.
    Asking,
    /// Those that somebody with these names administers.
    AdministeredBy(&'a [Admin]),
}

/// A piece of a list.
#[derive(Debug, Clone)]
pub(crate) struct Piece {
    /// How their names begin; `None` for all.
    pub(crate) begins_with: Option<OrganizationId>,
    /// The last one of the piece before.
    pub(crate) after: Option<OrganizationId>,
    /// How many at most: at least one. Fewer are the last ones.
    pub(crate) limit: usize,
}

/// A piece of a list, in the order of names. All whose names begin alike stand together in it.
pub(crate) async fn piece_of(
    listed: Listed<'_>,
    piece: &Piece,
    context: &Context<'_>,
) -> Result<Vec<Organization>, StoreError> {
    let store = context.broker.store.as_ref();
    let mut found = Vec::new();
    if let (None, Some(first)) = (&piece.after, &piece.begins_with) {
        // What a list begins after is not in it.
        let exact = store.organization(first).await?;
        found.extend(exact.map(|(exact, _)| exact).filter(|one| listed.has(one)));
    }
    let after = piece.after.as_ref().max(piece.begins_with.as_ref());
    let left = piece.limit.saturating_sub(found.len());
    found.extend(listed.behind(after, left, store).await?);
    let begins_with = piece
        .begins_with
        .as_ref()
        .map_or("", OrganizationId::as_str);
    found.retain(|one| one.id.as_str().starts_with(begins_with));
    Ok(found)
}

/// What a page of a list in the browser shows: as many as fit, and one more where more follow those. `begins_with` is as it
/// was typed: what can be no name no name begins with.
pub(crate) async fn page_of(
    listed: Listed<'_>,
    begins_with: &str,
    fits: usize,
    context: &Context<'_>,
) -> Result<Vec<Organization>, StoreError> {
    let begins_with = (!begins_with.is_empty()).then(|| OrganizationId::new(begins_with));
    let Ok(begins_with) = begins_with.transpose() else {
        return Ok(Vec::new());
    };
    let query = context.query();
    let after = query.one("after");
    let piece = Piece {
        begins_with,
        after: after.and_then(|id| OrganizationId::new(id).ok()),
        limit: fits + 1,
    };
    piece_of(listed, &piece, context).await
}

impl Listed<'_> {
    /// What leads to them; `None` where all are listed.
    fn signposts(self) -> Option<Vec<Signpost>> {
        match self {
            Self::All => None,
            Self::Asking => Some(vec![Signpost::Asks]),
            Self::AdministeredBy(names) => {
                Some(names.iter().cloned().map(Signpost::Admin).collect())
            }
        }
    }

    fn has(self, organization: &Organization) -> bool {
        let posts = self.signposts();
        posts.is_none_or(|posts| posts.iter().any(|post| organization.is_at(post)))
    }

    async fn behind(
        self,
        after: Option<&OrganizationId>,
        limit: usize,
        store: &dyn Store,
    ) -> Result<Vec<Organization>, StoreError> {
        let Some(posts) = self.signposts() else {
            return store.list_organizations(after, limit).await;
        };
        // One may be found by several names. The first of all are among the first of each.
        let mut found = BTreeMap::new();
        for post in &posts {
            let some = organizations_page(store, post, after, limit).await?;
            found.extend(some.into_iter().map(|one| (one.id.clone(), one)));
        }
        Ok(found.into_values().take(limit).collect())
    }
}
