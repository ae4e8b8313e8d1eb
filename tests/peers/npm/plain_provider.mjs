// An OpenID provider made of oidc-provider that asks nobody anything, for the benchmark to measure Countersign beside: whoever
// comes is signed in as one and the same person, and has consented. What it knows it keeps in memory, oidc-provider's own.
//
// Started with {"host", "resource", "clients": [{client_id, client_secret, redirect_uris, grant_types,
// id_token_signed_response_alg, …}], "opaque": a client's id}; says {"issuer": "http://…"} when it listens. Ends when standard
// input does.
//
// Access tokens are JWTs on ES256, as Countersign's are, but for the client `opaque`: oidc-provider introspects no JWTs.

import * as crypto from "node:crypto";
import * as http from "node:http";
import * as jose from "jose";
import Provider from "oidc-provider";

console.info = console.warn; // standard output is for our answers; the provider's advice is not

const { host, resource, clients, opaque } = JSON.parse(process.argv[2]);
const scope = "packages:manage";

const server = http.createServer();
await new Promise((resolve) => server.listen(0, host, resolve));
const issuer = `http://${host}:${server.address().port}`;

const provider = new Provider(issuer, {
  clients,
  jwks: { keys: [await key("RS256"), await key("ES256")] },
  claims: { openid: ["sub", "acr", "amr", "auth_time"] },
  cookies: { keys: [crypto.randomUUID()] },
  extraParams: { account: signIn },
  features: {
    devInteractions: { enabled: false },
    introspection: { enabled: true },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => resource,
      getResourceServerInfo: (_ctx, _resource, client) => ({
        scope,
        accessTokenFormat: client.clientId === opaque ? "opaque" : "jwt",
        jwt: { sign: { alg: "ES256" } },
      }),
      useGrantedResource: () => true,
    },
  },
  findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
  issueRefreshToken: (_, client) => client.grantTypeAllowed("refresh_token"),
  loadExistingGrant: consented,
  rotateRefreshToken: true,
  routes: { authorization: "/authorize", introspection: "/introspect" }, // where Countersign has them
});

/** A check of a parameter, which comes before it is asked who is there: so nobody is, and no page is on the way. */
function signIn(ctx) {
  ctx.oidc.session.loginAccount({ accountId: "ann-mfa", acr: "urn:dev-idp:mfa", amr: ["pwd", "otp", "mfa"] });
}

async function consented(ctx) {
  const grant = new provider.Grant({ clientId: ctx.oidc.client.clientId, accountId: ctx.oidc.session.accountId });
  grant.addOIDCScope("openid");
  grant.addResourceScope(resource, scope);
  await grant.save();
  return grant;
}

async function key(alg) {
  const { privateKey } = await jose.generateKeyPair(alg, { extractable: true });
  return { ...(await jose.exportJWK(privateKey)), kid: alg, use: "sig" };
}

server.on("request", provider.callback());
console.log(JSON.stringify({ issuer }));
process.stdin.on("end", () => process.exit()).resume();
