<?php
// What an application can read of a request: the variables of the server, and the fields as PHP names them.
header('Content-Type: application/json');
echo json_encode(['server' => $_SERVER, 'fields' => getallheaders()]);
