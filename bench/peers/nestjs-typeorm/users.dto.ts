import { Type } from 'class-transformer';
import {
  IsEmail,
  IsInt,
  IsNotEmpty,
  IsObject,
  IsOptional,
  IsString,
  Max,
  MaxLength,
  Min,
} from 'class-validator';

export class NewUserDto {
  @IsString()
  @IsNotEmpty()
  @MaxLength(50)
  name!: string;

  @IsEmail()
  @MaxLength(100)
  email!: string;

  @IsOptional()
  @IsObject()
  attributes?: Record<string, unknown>;
}

export class UserPatchDto {
  @IsOptional()
  @IsObject()
  attributes?: Record<string, unknown>;
}

export class ListUsersDto {
  @Type(() => Number)
  @IsInt()
  @Min(1)
  @Max(1000)
  limit = 100;

  @Type(() => Number)
  @IsInt()
  @Min(0)
  after = 0;
}
