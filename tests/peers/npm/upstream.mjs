// An OpenID provider made of oidc-provider, with people who sign in as the tests say, and with
// faults on demand: the certified provider makes the answer, then one part of it is spoiled.
//
// Started with {"host", "unmet": "refused" | "ignored", "clients": [{client_id, client_secret,
// redirect_uris, id_token_signed_response_alg}]}; says {"issuer": "http://…"} when it listens.
// Then reads faults from standard input, one JSON object a line, each good until the next:
//
//   {"claims": {…}, "header": {…}}  members of the ID token to change; null takes one out
//   {"signature": "none" | "symmetric" | "foreign" | "changed"}
//   {"callback": {…}}               parameters of the authorization response to change
//   {"user_info": {…}}              members of the UserInfo answer to change
//
// Where it asks who is there (`/interaction/…`), the test answers by the query `login`, which is
// JSON: oidc-provider's own {"accountId", "acr", "amr", "ts"}, or {"error"}.

import * as crypto from "node:crypto";
import * as http from "node:http";
import * as readline from "node:readline";
import * as jose from "jose";
import Provider, { interactionPolicy } from "oidc-provider";

console.info = console.warn; // standard output is for our answers; the provider's advice is not

const { host, unmet, clients } = JSON.parse(process.argv[2]);

const server = http.createServer();
await new Promise((resolve) => server.listen(0, host, resolve));
const issuer = `http://${host}:${server.address().port}`;

// Two RSA keys, so that a token that does not name its key could be of either.
const jwks = { keys: [await key("RS256", "rsa-1"), await key("RS256", "rsa-2"), await key("ES256", "p256"), await key("Ed25519", "ed25519")] };
const foreign = await key("RS256", "rsa-1");

const policy = interactionPolicy.base();
if (unmet === "ignored") policy.get("login").checks.remove("essential_acrs");

const provider = new Provider(issuer, {
  clients: clients.map((client) => ({ ...client, response_types: ["code"], grant_types: ["authorization_code"] })),
  jwks,
  acrValues: ["phr", "urn:example:mfa"],
  // `amr` is no claim of its own account, and none of the three is asked for by name.
  claims: { openid: ["sub", "acr", "amr", "auth_time"], profile: ["name"], email: ["email", "email_verified"] },
  conformIdTokenClaims: false,
  features: { claimsParameter: { enabled: true }, devInteractions: { enabled: false } },
  interactions: { policy, url: (_, interaction) => `/interaction/${interaction.uid}` },
  cookies: { keys: [crypto.randomUUID()] },
  findAccount: (_, id) => ({
    accountId: id,
    claims: () => ({ sub: id, name: `${id} of the tests`, email: `${id}@example.test`, email_verified: true }),
  }),
  loadExistingGrant: consented,
});

/** Nobody is asked for consent. */
async function consented(ctx) {
  const grant = new provider.Grant({ clientId: ctx.oidc.client.clientId, accountId: ctx.oidc.session.accountId });
  grant.addOIDCScope("openid profile email");
  await grant.save();
  return grant;
}

let fault = {};

provider.use(async (ctx, next) => {
  if (ctx.path.startsWith("/interaction/")) return interact(ctx);
  await next();
  const { claims, header, signature, callback, user_info } = fault;
  if (ctx.body?.id_token && (claims || header || signature)) ctx.body.id_token = await spoiled(ctx.body.id_token);
  if (user_info && ctx.path === "/me") ctx.body = changed(ctx.body, user_info);
  const location = ctx.response.get("location") ?? "";
  if (callback && clients.some((client) => client.redirect_uris.some((uri) => location.startsWith(uri)))) {
    const url = new URL(location);
    const parameters = changed(Object.fromEntries(url.searchParams), callback);
    ctx.set("location", `${url.origin}${url.pathname}?${new URLSearchParams(parameters)}`);
  }
});

/** Shows why somebody is to sign in, or takes the test's answer. */
async function interact(ctx) {
  const { prompt } = await provider.interactionDetails(ctx.req, ctx.res);
  if (!ctx.query.login) {
    ctx.body = { prompt: prompt.name, reasons: prompt.reasons, details: prompt.details };
    return;
  }
  const login = JSON.parse(ctx.query.login);
  const wanted = prompt.reasons.includes("essential_acrs") ? prompt.details.acr.values : undefined;
  const refused = wanted && !login.error && !wanted.includes(login.acr);
  const result = refused ? { error: "unmet_authentication_requirements" } : login.error ? login : { login };
  ctx.redirect(await provider.interactionResult(ctx.req, ctx.res, result));
}

/** A good ID token with one thing wrong, signed again by the same key unless the signature is the fault. */
async function spoiled(token) {
  const good = jose.decodeProtectedHeader(token);
  const header = changed(good, fault.header);
  const claims = changed(jose.decodeJwt(token), fault.claims);
  const sign = (alg, secret) => new jose.SignJWT(claims).setProtectedHeader({ ...header, alg }).sign(secret);
  const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
  switch (fault.signature) {
    case "none":
      return `${part({ ...header, alg: "none" })}.${part(claims)}.`;
    case "symmetric":
      return sign("HS256", new TextEncoder().encode(clients[0].client_secret));
    case "foreign":
      return sign(good.alg, await jose.importJWK(foreign, good.alg));
    case "changed":
      return token.replace(/\.[^.]+\./, `.${part({ ...claims, sub: "somebody-else" })}.`);
    default:
      return sign(good.alg, await jose.importJWK(jwks.keys.find((key) => key.kid === good.kid), good.alg));
  }
}

function changed(object, changes) {
  const all = Object.entries({ ...object, ...changes });
  return Object.fromEntries(all.filter(([, value]) => value !== null));
}

async function key(alg, kid) {
  const { privateKey } = await jose.generateKeyPair(alg, { extractable: true });
  return { ...(await jose.exportJWK(privateKey)), kid, use: "sig" };
}

server.on("request", provider.callback());
console.log(JSON.stringify({ issuer }));
for await (const line of readline.createInterface({ input: process.stdin })) {
  fault = JSON.parse(line);
  console.log("{}");
}
process.exit(); // open connections would keep it alive
