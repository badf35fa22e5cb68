// Functions as their authors write them, for serverless-offline: an application of Express, and two small ones.

import serverlessExpress from '@codegenie/serverless-express';
import express from 'express';

const application = express();
application.use(express.raw({ type: () => true }));
application.all('/items/:item', (request, response) => {
  const query = Object.entries(request.query).flatMap(([name, value]) => [value].flat().map((each) => [name, each]));
  response.cookie('a', '1').cookie('b', '2').json({
    method: request.method,
    item: request.params.item,
    query: query.sort(),
    cookies: Object.fromEntries((request.get('cookie') ?? '').split('; ').filter(Boolean).map((pair) => pair.split('='))),
    type: request.get('content-type') ?? null,
    field: request.get('x-list') ?? null,
    body: Buffer.isBuffer(request.body) ? request.body.toString('hex') : '',
  });
});
application.get('/image', (request, response) => {
  response.type('image/png').send(Buffer.from(Array.from({ length: 256 }, (_, byte) => byte)));
});

application.use((request, response) => {
  response.status(404).json({ message: 'not here' });
});

export const web = serverlessExpress({ app: application, binarySettings: { contentTypes: ['image/png'] } });

export const seen = async (event) => ({ statusCode: 200, body: JSON.stringify(event) });

export const fails = async () => {
  throw new TypeError('the secret of the function');
};
