// A site in Node, asked over each protocol that Node speaks. It is told its ports and its files by its arguments, and
// says "ready" when all of them listen.
'use strict';

const fs = require('fs');
const http = require('http');
const http2 = require('http2');

const [plain, h2c, tls, directory] = process.argv.slice(2);
const large = `${directory}/files/large`;
const identity = {
  cert: fs.readFileSync(`${directory}/certificate.pem`),
  key: fs.readFileSync(`${directory}/key.pem`),
};

function respond(request, response) {
  request.on('error', () => {});
  response.on('error', () => {});
  switch (request.url) {
    case '/large':
      return fs.createReadStream(large).pipe(response);
    case '/trailers':
      response.setHeader('trailer', 'checksum');
      response.write('before them');
      response.addTrailers({ checksum: 'good' });
      return response.end();
    case '/hints':
      response.writeEarlyHints({ link: '</style.css>; rel=preload; as=style' });
      return response.end('hello');
    case '/echo':
      return request.pipe(response);
    case '/early':
      response.statusCode = 413;
      // Over HTTP/2, Node resets the stream by itself, and not before the response has its end.
      return response.end('enough');
    case '/goaway':
      if (request.httpVersionMajor === 2) response.stream.session.close();
      return response.end('hello');
    default:
      request.resume();
      return response.end('hello');
  }
}

const servers = [
  [http.createServer(respond), plain],
  [http2.createServer(respond), h2c],
  [http2.createSecureServer({ ...identity, allowHTTP1: true }, respond), tls],
];
let waiting = servers.length;
for (const [server, port] of servers) {
  server.listen(Number(port), '127.0.0.1', () => {
    waiting -= 1;
    if (waiting === 0) console.log('ready');
  });
}
