// Run with `node --test` in this directory.

import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:http";
import { after, before, test } from "node:test";
import { CompactSign, exportJWK, exportSPKI, generateKeyPair } from "jose";

import { bearer, challenge, Refused, requireLogin, requireScope, verify } from "./verify.mjs";

const AUDIENCE = "https://registry.example";
const MFA = "urn:countersign:mfa";
const keys = {};
const servers = [];
let foreign;
let issuer;
let keySetHits = 0;

/** A broker reduced to its metadata and its keys. */
async function startIssuer(named) {
  const server = createServer(async (request, response) => {
    const url = `http://127.0.0.1:${server.address().port}`;
    if (request.url === "/jwks.json") {
      keySetHits += 1;
      response.end(JSON.stringify({ keys: await Promise.all(Object.keys(keys).map(jwk)) }));
    } else if (request.url === "/.well-known/openid-configuration") {
      response.end(JSON.stringify({ issuer: named ?? url, jwks_uri: `${url}/jwks.json` }));
    } else {
      response.writeHead(404).end();
    }
  }).listen(0, "127.0.0.1");
  servers.push(server);
  await once(server, "listening");
  return `http://127.0.0.1:${server.address().port}`;
}

async function jwk(alg) {
  return { ...(await exportJWK(keys[alg].publicKey)), kid: alg, use: "sig", alg };
}

before(async () => {
  // The last is the issuer's too, but not for access tokens.
  for (const alg of ["ES256", "RS256", "EdDSA", "ES384"]) {
    keys[alg] = await generateKeyPair(alg, { extractable: true });
  }
  foreign = await generateKeyPair("ES256");
  issuer = await startIssuer();
});

after(() => servers.forEach((server) => server.close()));

const now = () => Math.floor(Date.now() / 1000);

function payload(changes) {
  return {
    iss: issuer, sub: "acct_01J", aud: AUDIENCE, client_id: "gallery",
    scope: "openid packages:publish", acr: MFA, auth_time: now() - 100,
    jti: "t1", iat: now() - 10, exp: now() + 590, ...changes,
  };
}

function token({ claims = payload(), alg = "ES256", key = keys[alg].privateKey, header } = {}) {
  return new CompactSign(new TextEncoder().encode(JSON.stringify(claims)))
    .setProtectedHeader({ typ: "at+jwt", alg, kid: alg, ...header })
    .sign(key, { crit: { x: true } });
}

/** A token as no library would make it; `signature` is a function of the message. */
function byHand(header, signature) {
  const message = [header, payload()]
    .map((part) => Buffer.from(JSON.stringify(part)).toString("base64url"))
    .join(".");
  return `${message}.${signature(message)}`;
}

async function refused(text, about) {
  await assert.rejects(verify(text, issuer, AUDIENCE), (error) => {
    assert.ok(error instanceof Refused, `${about}: ${error}`);
    assert.equal(error.status, 401, `${about}: ${error.cause}`);
    assert.equal(error.challenge, 'Bearer error="invalid_token"');
    return true;
  });
}

test("a good token of each algorithm is accepted", async () => {
  for (const alg of ["ES256", "RS256", "EdDSA"]) {
    const claims = await verify(await token({ alg }), issuer, AUDIENCE);
    assert.equal(claims.sub, "acct_01J", alg);
  }
  const long = await token({ header: { typ: "application/AT+JWT" } });
  assert.equal((await verify(long, issuer, AUDIENCE)).client_id, "gallery");
});

test("a claim that is missing or wrong is refused", async () => {
  for (const name of ["iss", "sub", "aud", "client_id", "jti", "iat", "exp"]) {
    await refused(await token({ claims: payload({ [name]: undefined }) }), `without ${name}`);
  }
  for (const changes of [
    { iss: `${issuer}/` }, { iss: "https://evil.example" }, { iss: [issuer] },
    { aud: "https://other.example" }, { aud: [AUDIENCE, "https://other.example"] }, { aud: 7 },
    { exp: now() - 31 }, { exp: String(now() + 590) }, { exp: now() + 590.5 },
    { iat: now() + 60 }, { iat: String(now()) }, { iat: now() - 0.5 }, { nbf: now() + 60 }, { sub: 7 }, { sub: "" },
    { client_id: 7 }, { jti: 7 }, { scope: ["packages:publish"] }, { cnf: { jkt: "x" } },
  ]) {
    await refused(await token({ claims: payload(changes) }), JSON.stringify(changes));
  }
});

test("what is no access token is refused", async () => {
  for (const typ of ["JWT", "logout+jwt", "dpop+jwt", undefined]) {
    await refused(await token({ header: { typ } }), `typ ${typ}`);
  }
  for (const text of ["", "a", "a.b", "a.b.c", "a.b.c.d", `${await token()}.x`]) {
    await refused(text, text.slice(0, 8));
  }
  await refused(await token({ claims: payload({ padding: "x".repeat(8192) }) }), "too long");
});

test("the key and the algorithm are the issuer's", async () => {
  await refused(await token({ key: foreign.privateKey }), "a foreign key");
  await refused(await token({ header: { kid: "RS256" } }), "another key's kid");
  await refused(await token({ header: { kid: "unknown" } }), "an unknown kid");
  await refused(await token({ alg: "ES384" }), "a key for something else");
  await refused(await token({ header: { kid: undefined } }), "no kid");
  await refused(await token({ header: { jku: "https://evil.example/jwks.json" } }), "jku");
  await refused(await token({ header: { crit: ["x"], x: 1 } }), "crit");

  const none = { typ: "at+jwt", alg: "none", kid: "ES256" };
  await refused(byHand(none, () => ""), "alg none");
  const secret = await exportSPKI(keys.RS256.publicKey);
  const hs256 = { typ: "at+jwt", alg: "HS256", kid: "RS256" };
  const mac = (message) => createHmac("sha256", secret).update(message).digest("base64url");
  await refused(byHand(hs256, mac), "HS256 with the public key");
});

test("a flood of unknown keys is no flood at the issuer", async () => {
  await verify(await token(), issuer, AUDIENCE);
  const before = keySetHits;
  for (let number = 0; number < 20; number += 1) {
    await refused(await token({ header: { kid: `made-up-${number}` } }), "a made-up kid");
  }
  assert.equal(keySetHits, before);
});

test("keys that cannot be had are not the caller's fault", async () => {
  const stranger = await startIssuer("https://evil.example");
  for (const [url, message] of [
    [stranger, /of another issuer/], ["http://127.0.0.1:1", /cannot be had/],
    ["http://login.example", /not an https URL/], ["ftp://127.0.0.1", /not an https URL/],
  ]) {
    const answer = { status: 503, challenge: null, message };
    await assert.rejects(verify(await token(), url, AUDIENCE), answer, url);
  }
});

test("a token is taken from the header alone", () => {
  assert.equal(bearer("bearer  a.b.c"), "a.b.c");
  for (const header of [undefined, "", "Basic dTpw", "Bearerx a.b.c"]) {
    assert.throws(() => bearer(header), { status: 401, challenge: 'Bearer realm="registry"' });
  }
  for (const header of ["Bearer", "Bearer a b", "Bearer a\tb", "Bearer a\n"]) {
    assert.throws(() => bearer(header), { status: 400, challenge: 'Bearer error="invalid_request"' });
  }
});

test("a missing scope is named with 403", () => {
  const claims = { scope: "openid packages:publish" };
  requireScope(claims, "packages:publish");
  const header = 'Bearer error="insufficient_scope", scope="packages:administer"';
  for (const weak of [claims, {}]) {
    assert.throws(() => requireScope(weak, "packages:administer"), { status: 403, challenge: header });
  }
});

test("a weak or old login is told what would do", () => {
  const claims = { acr: MFA, auth_time: now() - 100 };
  requireLogin(claims, { acrValues: ["phr", MFA], maxAge: 300 });
  const weak = 'Bearer error="insufficient_user_authentication", acr_values="phr phrh"';
  for (const login of [claims, {}]) {
    assert.throws(() => requireLogin(login, { acrValues: ["phr", "phrh"] }), { status: 401, challenge: weak });
  }
  const old = 'Bearer error="insufficient_user_authentication", max_age="60"';
  for (const login of [claims, {}, { auth_time: String(now()) }, { auth_time: now() + 3600 }]) {
    assert.throws(() => requireLogin(login, { maxAge: 60 }), { status: 401, challenge: old });
  }
  assert.throws(() => requireLogin(claims, { acrValues: [] }), { status: 401 });
});

test("no value can end its quotes or the header", () => {
  assert.equal(challenge({ scope: 'a"b\\c\r\nd\u00e9' }), 'Bearer scope="abcd"');
});
