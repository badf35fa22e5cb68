<?php
// A PHP application that tells what it reads.
header('Content-Type: application/json');
echo json_encode([
    'cookie' => $_COOKIE['session'] ?? null,
    'parameter' => $_GET['access_token'] ?? null,
    'field' => $_SERVER['HTTP_X_TOKEN'] ?? null,
    'authorization' => $_SERVER['HTTP_AUTHORIZATION'] ?? null,
], JSON_INVALID_UTF8_SUBSTITUTE);
