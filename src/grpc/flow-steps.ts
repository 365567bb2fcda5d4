import {
  type FlowRequest,
  type OpenedFlow,
  type OpenFlowDeps,
  openFlow,
  voidFlow,
} from '../challenges/index.js';
import { type Locale, parseLocale } from '../core/contact.js';
import { ADMISSION, anonymousCharges, type Refusal } from '../throttling/index.js';
import type { RpcCall } from './call-context.js';
import { optionalUuid } from './parse.js';

/** The fields that those requests have in common, to be parsed together with what each has of its own. */
export function flowFields(
  request: { readonly challengeId?: string | undefined; readonly locale?: string | undefined },
  call: Pick<RpcCall, 'locale'>,
) {
  return {
    challengeId: () => optionalUuid('challenge_id', request.challengeId),
    locale: (): Locale => parseLocale('locale', request.locale) ?? call.locale,
  };
}

/**
 * The steps that every anonymous request for a code shares, so that none of them can answer unlike the
 * others: what it costs, the flow, and what is answered where a soft limit holds it back. `request` says
 * which flow an input stands for; `channelIsTold`: false where the account chooses it, and what a send
 * costs is charged by what was typed alone.
 */
export function flowSteps<Input>(
  deps: OpenFlowDeps,
  request: (input: Input) => FlowRequest,
  { channelIsTold = true }: { readonly channelIsTold?: boolean } = {},
) {
  return {
    charges: () => ADMISSION,
    sends: (input: Input, call: RpcCall) => {
      const { typed, channel, purpose, challengeId } = request(input);
      const again = challengeId !== undefined;
      return anonymousCharges(typed, channelIsTold ? channel : undefined, call, { purpose, again });
    },
    run: async (input: Input, call: RpcCall): Promise<OpenedFlow> => {
      const flow = await openFlow(deps, call, request(input));
      if (flow.waitSeconds === undefined) return flow;
      call.holdBack(flow.waitSeconds);
      call.sentNothing();
      return flow;
    },
    heldBack: (input: Input, call: RpcCall, { exhausted, retryAfterSeconds }: Refusal) =>
      exhausted.includes('anonymousInAll')
        ? voidFlow(deps, request(input), retryAfterSeconds)
        : openFlow(deps, call, request(input), retryAfterSeconds),
  };
}
