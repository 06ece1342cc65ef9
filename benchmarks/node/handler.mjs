// The Node.js peer: aws-jwt-verify checks the token, @smithy/signature-v4 signs, both made by AWS, both at their fastest:
// keys cached and used synchronously, hashes by node:crypto (hash-node), one connection to each service.
import { GetParametersCommand, SSMClient } from "@aws-sdk/client-ssm";
import { Hash } from "@smithy/hash-node";
import { HttpRequest } from "@smithy/protocol-http";
import { SignatureV4 } from "@smithy/signature-v4";
import { CognitoJwtVerifier } from "aws-jwt-verify";
import { JwksNotAvailableInCacheError, JwtBaseError, KidNotFoundInJwksError } from "aws-jwt-verify/error";
import { SimpleFetcher } from "aws-jwt-verify/https";
import { SimpleJwksCache } from "aws-jwt-verify/jwk";

const prefix = process.env.PARAMETER_PREFIX ?? "/cognito-edge-gateway";
const ssm = new SSMClient({ region: process.env.PARAMETER_REGION ?? "us-east-1" });
const cognito = process.env.AWS_ENDPOINT_URL_COGNITO_IDENTITY_PROVIDER;
const credentials = {
  accessKeyId: process.env.AWS_ACCESS_KEY_ID,
  secretAccessKey: process.env.AWS_SECRET_ACCESS_KEY,
  sessionToken: process.env.AWS_SESSION_TOKEN,
};
const sha256 = Hash.bind(null, "sha256");
const signers = new Map();
let verifier;

async function createVerifier() {
  const Names = [`${prefix}/user-pool-id`, `${prefix}/client-id`];
  const { Parameters } = await ssm.send(new GetParametersCommand({ Names }));
  const value = Object.fromEntries(Parameters.map(({ Name, Value }) => [Name, Value]));
  const simple = new SimpleFetcher();
  const fetcher = { fetch: (uri) => simple.fetch(cognito ? cognito + new URL(uri).pathname : uri) };
  return CognitoJwtVerifier.create(
    { userPoolId: value[Names[0]], clientId: value[Names[1]], tokenUse: "id" },
    { jwksCache: new SimpleJwksCache({ fetcher }) },
  );
}

async function verify(token) {
  verifier ??= await createVerifier();
  try {
    return verifier.verifySync(token);
  } catch (error) {
    if (error instanceof JwksNotAvailableInCacheError || error instanceof KidNotFoundInJwksError) {
      return verifier.verify(token);
    }
    throw error;
  }
}

function signerFor(region) {
  let signer = signers.get(region);
  if (!signer) {
    signer = new SignatureV4({ credentials, region, service: "lambda", sha256 });
    signers.set(region, signer);
  }
  return signer;
}

async function sign(request) {
  const host = request.origin.custom.domainName;
  const query = request.querystring ? Object.fromEntries(new URLSearchParams(request.querystring)) : undefined;
  const { headers } = await signerFor(host.split(".")[2]).sign(
    new HttpRequest({
      method: request.method,
      hostname: host,
      path: request.uri,
      query,
      headers: { host },
      body: Buffer.from(request.body.data, "base64"),
    }),
  );
  for (const [name, value] of Object.entries(headers)) {
    request.headers[name] = [{ key: name, value }];
  }
}

export async function handler(event) {
  const { request } = event.Records[0].cf;
  const [scheme, token] = (request.headers.authorization?.[0].value ?? "").split(" ");
  try {
    if (scheme.toLowerCase() !== "bearer") throw new JwtBaseError("Send a bearer token");
    await verify(token);
  } catch (error) {
    if (!(error instanceof JwtBaseError)) throw error;
    return { status: "401", statusDescription: "Unauthorized", body: error.message };
  }
  await sign(request);
  return request;
}
