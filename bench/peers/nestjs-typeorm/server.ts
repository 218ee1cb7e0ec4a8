import 'reflect-metadata';
import { ValidationPipe } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { DataSource } from 'typeorm';
import { environment } from '../environment.ts';
import { checkDurable } from '../typeorm/data-source.ts';
import { AppModule } from './app.module.ts';

/** NestJS on Express with TypeORM, as its pages on databases and validation have it, compiled with decorators. */
const app = await NestFactory.create(AppModule, { logger: ['error', 'warn'] });
app.useGlobalPipes(new ValidationPipe({ transform: true, errorHttpStatusCode: 422 }));
await checkDurable(app.get(DataSource));
await app.listen(environment.port, environment.host);
