import { afterAll, beforeAll, expect, it } from 'vitest';
import type { UpdateSettingsRequest } from '../../generated/countersign/v1/auth_service.js';
import { changes } from '../sessions/fixtures.js';
import { eachDatabase } from '../support/databases.js';
import { type Signup, signUp } from '../support/people.js';
import type { TestApp } from '../support/test-app.js';
import { email, type House, messagesTo, openHouse, present, refusalOf } from './house.js';

eachDatabase('UpdateSettings', (database) => {
  let house: House;
  let app: TestApp;
  beforeAll(async () => {
    house = await openHouse(database());
    app = house.app;
  });
  afterAll(() => house[Symbol.asyncDispose]());

  const update = async (person: Signup, request: Partial<UpdateSettingsRequest>) =>
    present((await app.auth.updateSettings({ settings: undefined, ...request }, person)).account);

  it('changes the language, and with it that of messages from then on', async () => {
    const person = await signUp(app, { locale: 'en' });
    const account = await update(person, { settings: { locale: 'vi-VN' } });
    expect(account.settings).toEqual({ locale: 'vi' });
    expect((await app.auth.getAccount({}, person)).account).toEqual(account);
    const address = email.address();
    await email.send(app, { ...person, acceptLanguage: 'en' }, address);
    expect((await messagesTo(app, address)).map(({ locale }) => locale)).toEqual(['vi']);
    expect((await changes(app.db, person.accountId)).map(({ action }) => action)).toContain(
      'settings_updated',
    );
  });

  it.each([
    ['no mask and nothing given: nothing', undefined, '', 'vi'],
    ['a mask that names it: the request’s language is to decide', ['locale'], '', ''],
    ['a star for all', ['*'], '', ''],
    ['a language that we do not speak: English', undefined, 'fr', 'en'],
  ])('%s', async (_, updateMask, locale, expected) => {
    const person = await signUp(app, { locale: 'vi' });
    const account = await update(person, { settings: { locale }, updateMask });
    expect(account.settings?.locale).toBe(expected);
    expect((await app.auth.getAccount({}, person)).account).toEqual(account);
  });

  it.each([
    ['update_mask', { settings: { locale: 'vi' }, updateMask: ['display_name'] }],
    ['settings.locale', { settings: { locale: 'not a tag' } }],
    ['etag', { settings: { locale: 'vi' }, etag: '1' }],
  ])('refuses a %s that is none', async (field, request) => {
    const refusal = await refusalOf(update(await signUp(app), request));
    expect(refusal).toMatchObject({ reason: 'FIELD_INVALID', metadata: { field } });
  });

  it('refuses a stale etag, and takes the one that it gave', async () => {
    const person = await signUp(app);
    const { etag } = await update(person, { settings: { locale: 'vi' }, etag: 'r1' });
    const stale = update(person, { settings: { locale: 'en' }, etag: 'r1' });
    expect(await refusalOf(stale)).toMatchObject({ reason: 'ETAG_STALE' });
    const account = await update(person, { settings: { locale: 'en' }, etag });
    expect(account.settings).toEqual({ locale: 'en' });
  });
});
