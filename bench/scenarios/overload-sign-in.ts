/** Sign-in with the right password, by people picked at random. */
import { AuthServiceService, SignInRequest } from '../../generated/countersign/v1/auth_service.js';
import type { ScenarioCall } from '../support/load.js';
import { seeded } from '../support/statistics.js';
import { encoded, openWire } from '../support/wire.js';
import { callerMetadata, outcomeOf, personAt } from './overload-target.js';
import type { Target } from './scenario.js';

export interface SignInData extends Target {
  readonly usernames: readonly string[];
  readonly password: string;
  readonly deadlineMs: number | undefined;
  readonly seed: number;
}

export async function open(data: SignInData): Promise<ScenarioCall> {
  const wire = openWire(data.address, 8, callerMetadata(data));
  const random = seeded(data.seed);
  const { password, deadlineMs } = data;
  const requests = data.usernames.map((identifier) =>
    encoded(SignInRequest, { identifier, password, scope: undefined, region: undefined }),
  );
  const timeout = deadlineMs === undefined ? {} : { 'grpc-timeout': `${deadlineMs}m` };
  const { path } = AuthServiceService.signIn;
  return async (_slot, nth) => {
    const request = requests[Math.floor(random() * requests.length)] ?? Buffer.alloc(0);
    const { status } = await wire.call(path, request, { ...timeout, ...personAt(nth) });
    return outcomeOf(status);
  };
}
