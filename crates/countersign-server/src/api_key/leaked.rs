//! `/api-keys/leaked`: whoever holds a key may revoke it. Who finds one in the open needs no account here, and who has stolen
//! one can do its owner no greater favour.

use actix_web::{HttpResponse, web};
use countersign_store::StoreError;

use super::{find, is_live, revoke};
use crate::audit::By;
use crate::error::{ApiError, Failure};
use crate::web::{Call, Context, Parameters};

/// POST: a form with `token`. The answer is the same for a key and for what is none.
pub(crate) async fn leaked(call: Call, form: web::Bytes) -> HttpResponse {
    call.answer(async |context| {
        let parameters = Parameters::read(&form);
        let text = parameters
            .one("token")
            .ok_or(ApiError::Body("`token` is missing"))?;
        let ended = end(text, context).await;
        ended.map_err(|error| Failure::from(ApiError::Store(error)))?;
        Ok(HttpResponse::Ok().finish())
    })
    .await
}

async fn end(text: &str, context: &Context<'_>) -> Result<(), StoreError> {
    let Some(held) = find(text, context).await? else {
        return Ok(());
    };
    // Whoever has an ended one could fill the disk with it.
    if is_live(&held.key, context.policy(), context.now) {
        revoke(&held.key.id, By::Nobody, "leaked", context).await?;
    }
    Ok(())
}
