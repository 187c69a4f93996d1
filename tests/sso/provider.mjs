// A provider of OpenID Connect for the tests: oidc-provider, on a free port of the loopback interface.
// The argument is the host name in its addresses. `POST /control` starts it again with other settings:
//   redirect_uris, secret  of the client `tracker`
//   accounts               claims by login; any password signs in
//   alg, new_keys          RS256 or ES256; whether the provider makes new keys
//   forge                  changes of ID tokens: `header`, `claims` (null removes one), `key` (see below)
//   discovery, userinfo    fields that replace those of the answer
import http from "node:http";
import { SignJWT, decodeJwt, decodeProtectedHeader, exportJWK, generateKeyPair } from "jose";
import { Provider } from "oidc-provider";

let callback = null;
const server = http.createServer(async (request, response) => {
  if (request.url !== "/control") return callback(request, response);
  let text = "";
  for await (const chunk of request) text += chunk;
  callback = await start(JSON.parse(text));
  response.end("{}");
});
server.listen(0, "127.0.0.1", () => console.log(address()));

const address = () => `http://${process.argv[2]}:${server.address().port}`;
const keys = {};

async function start(settings) {
  const { redirect_uris, secret, accounts = {}, alg = "RS256", new_keys, forge, discovery, userinfo } = settings;
  if (new_keys || !keys[alg]) {
    const { privateKey } = await generateKeyPair(alg, { extractable: true });
    keys[alg] = { privateKey, kid: crypto.randomUUID() };
  }
  const { privateKey, kid } = keys[alg];
  const provider = new Provider(address(), {
    clients: [
      {
        client_id: "tracker",
        ...(secret && { client_secret: secret }),
        redirect_uris,
        id_token_signed_response_alg: alg,
        token_endpoint_auth_method: secret ? "client_secret_basic" : "none",
      },
    ],
    jwks: { keys: [{ ...(await exportJWK(privateKey)), kid, alg, use: "sig" }] },
    enabledJWA: { idTokenSigningAlgValues: ["RS256", "ES256"] },
    cookies: { keys: ["of the tests"] },
    scopes: ["openid", "profile", "email", "groups"],
    claims: { email: ["email", "email_verified"], profile: ["name", "preferred_username"], groups: ["groups"] },
    findAccount: (_context, login) => ({
      accountId: login,
      claims: () => ({ sub: login, ...accounts[login] }),
    }),
    ttl: { Session: 600, Grant: 600, Interaction: 600, AccessToken: 600, IdToken: 600 },
  });
  provider.use(async (context, next) => {
    await next();
    const route = context.oidc?.route;
    if (route === "token" && forge && context.body?.id_token) {
      context.body.id_token = await forged(context.body.id_token, forge, privateKey, alg);
    }
    if (route === "userinfo" && userinfo) context.body = { ...context.body, ...userinfo };
    if (context.path.endsWith("/openid-configuration")) context.body = { ...context.body, ...discovery };
  });
  return provider.callback();
}

// `key`: "own" (the provider's), "other" (with the same id), "secret" (HS256 with `secret`), "none".
async function forged(token, { header = {}, claims = {}, key = "own", secret = "" }, own, alg) {
  const merged = { ...decodeJwt(token), ...claims };
  for (const name of Object.keys(merged)) if (merged[name] === null) delete merged[name];
  const head = { ...decodeProtectedHeader(token), ...header };
  if (key === "none") {
    const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
    return `${part({ ...head, alg: head.alg === alg ? "none" : head.alg })}.${part(merged)}.`;
  }
  const signing = new SignJWT(merged);
  if (key === "secret") {
    return signing.setProtectedHeader({ ...head, alg: "HS256" }).sign(new TextEncoder().encode(secret));
  }
  const used = key === "other" ? (await generateKeyPair(alg)).privateKey : own;
  return signing.setProtectedHeader(head).sign(used);
}
