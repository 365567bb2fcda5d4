/** What scenarios have in common: a connection and how a call ended. */
import {
  type CallOptions,
  type ClientUnaryCall,
  credentials,
  Metadata,
  type ServiceError,
  status,
} from '@grpc/grpc-js';
import { AuthServiceClient } from '../../generated/countersign/v1/auth_service.js';
import { parseDetails } from '../../src/client/error-details.js';

export interface Target {
  readonly address: string;
  readonly callerKey: string | undefined;
}

/** The generated client, without our package around it: the generator shares the cores with the server. */
export function connect({ address }: Target): AuthServiceClient {
  return new AuthServiceClient(address, credentials.createInsecure(), {
    'grpc.service_config_disable_resolution': 1,
    'grpc.enable_http_proxy': 0,
  });
}

const DEADLINE_MS = 10_000;

type Method<Request, Response> = (
  request: Request,
  metadata: Metadata,
  options: Partial<CallOptions>,
  callback: (error: ServiceError | null, response: Response) => void,
) => ClientUnaryCall;

export type Ended<Response> =
  | { readonly outcome: 'ok'; readonly response: Response }
  | { readonly outcome: string; readonly response?: undefined };

/** Makes one call. Never rejects: how it ended is what is measured. */
export function call<Request, Response>(
  client: AuthServiceClient,
  method: Method<Request, Response>,
  request: Request,
  metadata: Metadata,
  deadlineMs = DEADLINE_MS,
): Promise<Ended<Response>> {
  return new Promise((resolve) => {
    method.call(
      client,
      request,
      metadata,
      { deadline: Date.now() + deadlineMs },
      (error, response) =>
        resolve(error === null ? { outcome: 'ok', response } : { outcome: outcomeOf(error) }),
    );
  });
}

/** Metadata as a BFF sends it: its key, and the person's address, another one for each of 65,536. */
export function metadataOf(target: Target, person: number, accessToken?: string): Metadata {
  const metadata = new Metadata();
  if (target.callerKey !== undefined) metadata.set('countersign-caller-key', target.callerKey);
  metadata.set('countersign-client-address', `10.7.${(person >> 8) & 255}.${person & 255}`);
  if (accessToken !== undefined) metadata.set('authorization', `Bearer ${accessToken}`);
  return metadata;
}

function outcomeOf(error: ServiceError): string {
  return parseDetails(error.metadata).reason ?? status[error.code] ?? String(error.code);
}
