/** What goes on beside sign-in: refreshing, introspection, codes being confirmed, health; in turns. */
import {
  AuthServiceService,
  ConfirmPhoneNumberRequest,
  IntrospectTokenRequest,
  RefreshSessionRequest,
  RefreshSessionResponse,
} from '../../generated/countersign/v1/auth_service.js';
import type { ScenarioCall } from '../support/load.js';
import { encoded, openWire, type Wire } from '../support/wire.js';
import { callerMetadata, outcomeOf } from './overload-target.js';
import type { Target } from './scenario.js';

export interface AsideData extends Target {
  readonly refreshTokens: readonly string[];
  readonly accessToken: string;
  /** Each can be confirmed once. */
  readonly codes: readonly { readonly challengeId: string; readonly code: string }[];
}

/** A turn of each answers its gRPC status, or nothing where it had nothing left to call with. */
type Turn = () => Promise<number | undefined>;

const HEALTH = '/grpc.health.v1.Health/Check';

export async function open(data: AsideData): Promise<ScenarioCall> {
  const wire = openWire(data.address, 4, callerMetadata(data));
  const turns: readonly (readonly [string, Turn])[] = [
    ['RefreshSession', refreshing(wire, data)],
    ['IntrospectToken', introspecting(wire, data)],
    ['ConfirmPhoneNumber', confirming(wire, data)],
    ['health', async () => (await wire.call(HEALTH, Buffer.alloc(0))).status],
  ];
  return async (_slot, nth) => {
    const [name, turn] = turns[nth % turns.length] ?? ['', async () => undefined];
    const code = await turn();
    return code === undefined ? 'none left' : `${name} ${outcomeOf(code)}`;
  };
}

/** A session is refreshed by one call at a time, each with the token of the call before. */
function refreshing(wire: Wire, data: AsideData): Turn {
  const free = [...data.refreshTokens];
  return async () => {
    const refreshToken = free.shift();
    if (refreshToken === undefined) return undefined;
    const request = encoded(RefreshSessionRequest, { refreshToken, scope: undefined });
    const { status, message } = await wire.call(AuthServiceService.refreshSession.path, request);
    const next = status === 0 ? RefreshSessionResponse.decode(message).tokens : undefined;
    if (next !== undefined) free.push(next.refreshToken);
    return status;
  };
}

function introspecting(wire: Wire, { accessToken }: AsideData): Turn {
  const request = encoded(IntrospectTokenRequest, { accessToken });
  return async () => (await wire.call(AuthServiceService.introspectToken.path, request)).status;
}

function confirming(wire: Wire, data: AsideData): Turn {
  const codes = [...data.codes];
  return async () => {
    const code = codes.pop();
    if (code === undefined) return undefined;
    const request = encoded(ConfirmPhoneNumberRequest, code);
    return (await wire.call(AuthServiceService.confirmPhoneNumber.path, request)).status;
  };
}
